"""Volumes and networks that exist are used by the name that they have, and nothing of Slipway makes or removes them."""

import re
from pathlib import Path

import pytest
from samples import application, problems_of, whats

COMPOSE = """\
name: shop
services:
  db: {image: postgres, volumes: ["data:/var/lib/postgresql/data", "logs:/logs"], networks: [inner, default]}
volumes:
  data: {driver: local, labels: {a: b}}
  logs: {name: shop_logs}
networks:
  inner: {driver: bridge}
"""


def test_what_is_adopted_is_external_and_all_else_as_it_was(tmp_path: Path) -> None:
    plain = application(tmp_path, COMPOSE).document
    found = application(
        tmp_path, COMPOSE, adopt_volumes={"data": "old_pgdata"}, adopt_networks={"inner": "old_inner"}
    ).document
    assert found["volumes"]["data"] == {"name": "old_pgdata", "external": True, "x-adopted": True}
    assert found["networks"]["inner"] == {"name": "old_inner", "external": True, "x-adopted": True}
    assert found["volumes"]["logs"] == plain["volumes"]["logs"]
    assert found["networks"]["default"] == plain["networks"]["default"]
    assert found["services"] == plain["services"]


def test_a_stack_that_adopts_nothing_has_the_release_that_it_had(tmp_path: Path) -> None:
    assert "external" not in str(application(tmp_path, COMPOSE).document)


@pytest.mark.parametrize(
    ("adopted", "expected"),
    [
        ({"adopt_volumes": {"dat": "x"}}, "adoptVolumes: 'dat' is not one of the volumes of the Compose file"),
        ({"adopt_networks": {"outer": "x"}}, "adoptNetworks: 'outer' is not one of the networks of the Compose file"),
        (
            {"adopt_volumes": {"data": "x"}, "remove_volumes": ["data"]},
            "'data' is not a volume of the Compose file's own, as adoptVolumes",
        ),
    ],
)
def test_what_nothing_could_use_is_refused(tmp_path: Path, adopted: dict[str, object], expected: str) -> None:
    assert any(expected in what for what in whats(problems_of(tmp_path, COMPOSE, **adopted)))


@pytest.mark.parametrize(
    ("adopted", "fix"),
    [
        # renamed: the entry moves along; `logs` is free, and called otherwise; nothing is free
        (
            {"log": "old_log"},
            [
                "pulumi config set --path 'adoptVolumes.logs' old_log --stack test",
                "pulumi config rm --path 'adoptVolumes.log' --stack test",
            ],
        ),
        (
            {"pgdata-of-before": "old_pgdata"},
            [
                "call it 'pgdata-of-before' in the Compose file again, or, where no service needs old_pgdata",
                "pulumi config rm --path 'adoptVolumes.pgdata-of-before' --stack test",
            ],
        ),
        (
            {"dat": "x", "data": "y", "logs": "z"},
            ["pulumi config rm --path 'adoptVolumes.dat' --stack test"],
        ),
    ],
)
def test_a_renamed_key_keeps_its_data_by_the_command_that_is_printed(
    tmp_path: Path, adopted: dict[str, str], fix: list[str]
) -> None:
    [problem] = problems_of(tmp_path, COMPOSE, adopt_volumes=adopted)
    assert re.split(" && |: ", problem.fix) == fix


def test_no_two_entries_move_to_one_key(tmp_path: Path) -> None:
    fixes = [each.fix for each in problems_of(tmp_path, COMPOSE, adopt_volumes={"log": "x", "logz": "y"})]
    assert ["adoptVolumes.logs" in each for each in fixes] == [True, False]


def test_no_proxy_of_before_finds_the_new_containers(tmp_path: Path) -> None:
    labelled = """
        services:
          web:
            image: nginx
            x-slipway: {route: x, port: 80}
            environment:
              {VIRTUAL_HOST: x, VIRTUAL_HOST_MULTIPORTS: y, LETSENCRYPT_HOST: x, VIRTUAL_ENV: /venv, CADDY_ADMIN: "off"}
            labels: [traefik.enable=true, "traefik.http.routers.web.rule=Host(`x`)", caddy=x, caddy.to=80, team=a]
          job: {image: nginx, labels: {traefik.enable: "false"}}
    """
    assert application(tmp_path, labelled).document["services"]["web"]["labels"]["traefik.enable"] == "true"
    services = application(tmp_path, labelled, move_from=["shop"]).document["services"]
    assert services["web"]["labels"] == {"team": "a"}
    assert services["web"]["environment"] == {"VIRTUAL_ENV": "/venv", "CADDY_ADMIN": "off"}
    assert "labels" not in services["job"]


def test_a_stack_that_takes_over_says_which_visitors_would_find_nobody(tmp_path: Path) -> None:
    labelled = """
        services:
          web:
            image: nginx
            expose: [3000]
            labels: ["traefik.http.routers.web.rule=Host(`shop.${DOMAIN}`)"]
    """
    assert application(tmp_path, labelled, domain="x.test").warnings == ()
    [problem] = problems_of(tmp_path, labelled, domain="x.test", move_from=["shop"])
    assert problem.what == "services.web has the label traefik.http.routers.web.rule=Host(`shop.x.test`)"
    assert "visitors would get 404" in problem.meaning
    assert problem.fix == 'set `x-slipway: {route: "shop.${DOMAIN}", port: 3000}` in services.web of the Compose file'
    guarded = """
        services:
          web:
            image: nginx
            x-slipway: {route: shop.x.test, port: 80}
            labels: {traefik.http.routers.web.rule: "Host(`shop.x.test`) || Host(`www.x.test`)",
                     traefik.http.middlewares.auth.basicauth.users: "a:b"}
    """
    warned = application(tmp_path, guarded, move_from=["shop"]).warnings
    assert [each.what for each in warned] == [
        "services.web has the label traefik.http.routers.web.rule=Host(`shop.x.test`) || Host(`www.x.test`)",
        "services.web has the label traefik.http.middlewares.auth.basicauth.users, and no basicAuth of x-slipway",
    ]
    assert application(tmp_path, guarded).warnings == ()


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ("{route: x, port: 80}", ()),
        ("{route: x, port: 80, strategy: rolling}", ("web",)),
        ("{route: x, port: 80, strategy: blue-green}", ("web",)),
        ("{route: x, port: 80, strategy: recreate}", ()),
        ("{strategy: rolling}", ()),
    ],
)
def test_only_a_strategy_that_a_routed_service_states_lets_two_of_it_share_data(
    tmp_path: Path, block: str, expected: tuple[str, ...]
) -> None:
    compose = f"services: {{web: {{image: nginx, x-slipway: {block}}}}}"
    assert application(tmp_path, compose).beside == expected
