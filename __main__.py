"""One stack: settings → components → outputs. No logic here; docs/architecture.md in Slipway's repository has more."""

from __future__ import annotations

from slipway.settings.engine_errors import reported_to_pulumi

with reported_to_pulumi():
    from slipway.hosts.host_sessions import HostSessions
    from slipway.settings.program import program_settings

    settings, problems = program_settings()
    sessions = HostSessions(settings, reach=not problems)  # connects while Compose reads and the rest is imported

    from slipway.compose.release_source import application_of

    application = application_of(settings, problems=problems)

    import pulumi

    from components.deployment import ComposeDeployment, ComposeDeploymentArgs
    from components.github import GitHubEnvironment, GitHubEnvironmentArgs
    from components.host import Host, HostArgs
    from components.images import RegistryImages, RegistryImagesArgs
    from slipway.compose.git import read_revision
    from slipway.hosts.preflight import look_at_hosts, warn
    from slipway.releases.github_repository import look_at_repository

    revision = application.revision or read_revision(settings.application)
    repository = look_at_repository(settings)
    view = look_at_hosts(settings, application, sessions)
    warn(settings, application)

    images = RegistryImages(
        application.name,
        RegistryImagesArgs(
            settings=settings,
            application=application,
            revision=revision,
            live=view.live_images,
            live_edge=view.live_edge,
        ),
    )
    hosts = [
        Host(name, HostArgs(machine=machine, private_key=settings.private_key(), probe=view.probes[name]))
        for name, machine in view.machines.items()
    ]
    if repository:
        GitHubEnvironment(application.stack, GitHubEnvironmentArgs(settings=settings, repository=repository))
    deployment = ComposeDeployment(
        application.stack,
        ComposeDeploymentArgs(
            settings=settings,
            application=application,
            revision=revision,
            images=images.images,
            hosts=hosts,
            edge=images.edge,
            settled=view.settled,
            plan=view.plan,
        ),
    )

    pulumi.export("release", deployment.release)
    pulumi.export("urls", deployment.urls)
    pulumi.export("hosts", deployment.summary)
