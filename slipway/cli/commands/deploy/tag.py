"""`slipway tag`: a version for the images that run."""

from typing import Annotated

import typer

from slipway.cli.options import StackName


def tag(
    name: Annotated[str, typer.Argument(metavar="TAG", help="What they are called in the registry, such as v1.2.0.")],
    *,
    stack: StackName = "",
    commit: Annotated[
        str, typer.Option("--commit", metavar="SHA", help="Refuse the release of any other commit.")
    ] = "",
) -> None:
    """Tag the images of the live release in the registry, those that the application builds.

    The release has to be validated. Nothing is built or copied: the tag is one more name of the very digest that runs,
    so signatures and attestations stay with it. A tag that is another image's is refused, and none is moved.

    Exit code: 0 when all are tagged, also if they were before; 1 when that is refused; 2 for wrong usage.
    """
    from slipway.cli.deploy.ci_summary import set_output
    from slipway.compose.application import read_application
    from slipway.compose.git import tag_of
    from slipway.contract.commands import of_stack
    from slipway.contract.problems import SlipwayError
    from slipway.images.image_tags import tag_images
    from slipway.releases.engine import engine_of
    from slipway.releases.format import short
    from slipway.releases.history.stack_history import read_history
    from slipway.releases.past_releases import named_entry, past_release
    from slipway.releases.promotion import source_at
    from slipway.settings.registry_names import without_tag

    if tag_of(name) != name:
        raise typer.BadParameter("letters, digits and _.- only, at most 128", param_hint="TAG")
    engine = engine_of(stack)
    history = read_history(engine)
    live = past_release(history, named_entry(history, "live"))
    found = str(live.document["commit"])
    if not found.startswith(commit):
        raise SlipwayError(
            f"{live.id} on {engine.short} is of commit {short(found) or 'none'}, not of {short(commit)}",
            "what would be tagged is not what was asked for",
            f"deploy commit {short(commit)} to {engine.short}, then run it again",
        )
    if found.endswith("-dirty"):
        what, meaning = f"{live.id} was made from uncommitted changes", "no commit has what the version would name"
        raise SlipwayError(what, meaning, f"commit, deploy to {engine.short}, validate, then run it again")
    if live.id not in history.validated:
        what = f"{live.id} was not validated on {engine.short}"
        raise SlipwayError(what, "nobody said that its tests passed", of_stack("slipway validate", engine.stack))
    with source_at(history.settings.application, found) as folder:
        application = read_application(history.settings.model_copy(update={"application": folder}))
    built = {build.repository for build in application.builds.values()}
    images = [image for image in live.document["images"].values() if without_tag(image).partition("@")[0] in built]
    if built and not images:
        raise SlipwayError(
            f"{live.id} on {engine.short} runs no image that the application builds",
            f"it builds {', '.join(sorted(built))}, so nothing was tagged",
            f"deploy to {engine.short} again if `registry` changed, validate, then run it again",
        )
    for each in tag_images(images, name, history.settings.registry_login()):
        typer.echo(each)
    typer.echo(f"{live.id}: " + (f"tagged {name}" if images else "the application builds no image, so none is tagged"))
    set_output("release", live.id)
