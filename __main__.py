"""One stack: settings → components → outputs. No logic here; docs/architecture.md in Slipway's repository has more."""

from __future__ import annotations

from slipway.settings.engine_errors import reported_to_pulumi

with reported_to_pulumi():
    from slipway.hosts.hetzner.machines import with_machines
    from slipway.hosts.host_sessions import HostSessions
    from slipway.settings.program import program_settings

    settings, problems = program_settings()
    settings = with_machines(settings)
    sessions = HostSessions(settings, reach=not problems)  # connects while Compose reads and the rest is imported

    from slipway.compose.release_source import application_of

    application = application_of(settings, problems=problems)

    import pulumi

    from components.deployment import ComposeDeployment, ComposeDeploymentArgs
    from components.github import GitHubEnvironment, GitHubEnvironmentArgs
    from components.hetzner import HetznerServers, HetznerServersArgs
    from components.host import Host, HostArgs
    from components.images import RegistryImages, RegistryImagesArgs
    from slipway.compose.git import read_revision
    from slipway.hosts.hetzner.look import look_at_cloud
    from slipway.hosts.hetzner.when_ready import when_ready
    from slipway.hosts.preflight import View, look_at_hosts, warn
    from slipway.releases.github_repository import look_at_repository

    revision = application.revision or read_revision(settings.application)
    hub = look_at_repository(settings)
    cloud = look_at_cloud(settings, application.stack)
    pending, silent = cloud.pending if cloud else None, cloud.silent if cloud else tuple
    view = look_at_hosts(settings, application, sessions, pending, silent)
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
    servers = HetznerServers(application.stack, HetznerServersArgs(settings=settings, cloud=cloud)) if cloud else None

    def converge(view: View) -> ComposeDeployment:
        """Deploy to the hosts, once all of them are there."""
        key, needs = settings.private_key(), servers.resources if servers else {}
        hosts = [
            Host(name, HostArgs(machine=machine, private_key=key, probe=view.probes[name], needs=needs.get(name, ())))
            for name, machine in view.machines.items()
        ]
        if hub:
            GitHubEnvironment(application.stack, GitHubEnvironmentArgs(settings=settings, repository=hub, hosts=hosts))
        args = ComposeDeploymentArgs(
            settings=settings,
            application=application,
            revision=revision,
            images=images.images,
            hosts=hosts,
            edge=images.edge,
            settled=view.settled,
            plan=view.plan,
        )
        return ComposeDeployment(application.stack, args)

    outputs = when_ready(settings, application, view, servers.machines if servers else None, converge)
    for name, value in outputs.items():
        pulumi.export(name, value)
