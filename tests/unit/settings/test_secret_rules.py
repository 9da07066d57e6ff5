"""Telling secrets, and telling weak ones."""

import base64
import re
import secrets
import string
import time
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.settings.secrets.rules import (
    is_secret,
    made_up,
    named_like_a_secret,
    new_secret,
    probably_secret,
    user_names,
    weakness,
    why_not_plain,
    why_secret,
)
from slipway.settings.values import _SAID, _TELLING


@pytest.mark.parametrize(
    "name",
    ["POSTGRES_PASSWORD", "PGPASSWORD", "SECRET_KEY", "SECRET_KEY_BASE", "JWT_SECRET", "SENTRY_DSN", "DB_PWD", "apiKey",
     "AWS_SECRET_ACCESS_KEY", "API_TOKEN_2", "authToken", "redis_password", "MAIL_PASS", "SECRET_ACCESS_KEY",
     "AZURE_STORAGE_ACCESS_KEY", "RATE_LIMIT_KEY", "RESET_TOKEN",
     "MODULE_SECRET", "s3SecretAccessKey"],
)  # fmt: skip
def test_a_variable_is_named_like_a_secret(name: str) -> None:
    assert named_like_a_secret(name)


@pytest.mark.parametrize(
    "name",
    ["KEYCLOAK_HOST", "MONKEY", "COMPASS", "TOKEN_EXPIRY", "PASSWORD_FILE", "AWS_ACCESS_KEY_ID", "STRIPE_PUBLIC_KEY",
     "MYSQL_ALLOW_EMPTY_PASSWORD", "PASSWORD_MIN_LENGTH", "TOKEN_URL", "WEB_PORT", "", "API_KEY_RATE_LIMIT",
     "JWT_TOKEN_AUTH_MODULE", "ALLOWED_PASSWORD_RESET", "TOKEN_RATE", "PASSWORD_HASHERS", "secretVersion",
     "AWS_ACCESS_KEY", "MINIO_ACCESS_KEY", "accessKey", "SENTRY_KEY", "PASSWORD_ATTEMPTS", "TOKEN_DURATION"],
)  # fmt: skip
def test_a_variable_that_only_sounds_like_a_secret_is_none(name: str) -> None:
    assert not named_like_a_secret(name)


@pytest.mark.parametrize(
    "value",
    ["true", "no", "/run/secrets/key", "./certs/token.pem", "60/minute", "100 / 5 min", '"0"',
     "'false'", '""', "15m", "1h30m", "7 days", "-1", "0.5", " on "],
)  # fmt: skip
def test_a_switch_number_or_place_is_no_secret(value: str) -> None:
    assert not is_secret("API_TOKEN", value)


@pytest.mark.parametrize("value", ['"hunter22"', "60/minutely", "15q", "a/b", "1234567", "m", "12minutes34secret", '"',
                                   "12345", "/run/abc", "/var", "https://id.example.com/token"])  # fmt: skip
def test_what_only_begins_like_one_may_be_a_secret(value: str) -> None:
    assert is_secret("API_TOKEN", value)


SECRETS = [
    ("POSTGRES_PASSWORD", "/Zk3aB9xQ1"), ("API_TOKEN", "/Zk3aB9xQ1+/="), ("POSTGRES_PASSWORD", "12345"),
    ("DB_PASS", "/run/secrets/x"), ("JWT_SECRET", "1h"), ("MAIL_PASSWORD", "invalid"), ("SMTP_PASSWORD", "https://x"),
    ("GITHUB_PAT", "whatever-it-is"), ("STRIPE_SK", "whatever-it-is"), ("SMTP_AUTH", "user:hunter22"),
    ("ANY", "ghp_" + "a1B2" * 9), ("ANY", "github_pat_" + "a1B2_" * 12), ("ANY", "glpat-" + "a1B2" * 5),
    ("ANY", "sk_" + "live_" + "a1B2" * 6), ("ANY", "whsec_" + "a1B2" * 8), ("ANY", "xoxb-" + "1234-" * 4 + "aB"),
    ("ANY", "sk-ant-" + "api03-" + "a1B2" * 20), ("ANY", "sk-proj-" + "a1B2" * 20), ("ANY", "hf_" + "aBcD" * 9),
    ("ANY", "AIza" + "a1B2_" * 7), ("ANY", "SG." + "a1B2" * 5 + "ab." + "a1B2" * 11), ("ANY", "npm_" + "a1B2" * 9),
    ("ANY", "dop_v1_" + "0a" * 32), ("ANY", "dckr_pat_" + "a1B2" * 7), ("ANY", "123456789:AA" + "a1B" * 11),
    ("ANY", "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl"), ("ANY", "AGE-SECRET-KEY-1" + "QPZR" * 15),
    ("SLACK_WEBHOOK_URL", "https://hooks.slack.com/services/T0/B0/a1B2"), ("X_URL", "https://discord.com/api/webhooks/1/a"),
    ("JDBC_URL", "jdbc:postgresql://db/x?user=a&password=hunter2"), ("HOOK_URL", "https://ci.test/hook?token=a1b2"),
    ("DATABASE_URL", "mysql://db/x?ssl=1&sslpassword=a"), ("SENTRY_DSN", "https://abc@o1.ingest.example/2"),
    # words written as one
    *((name, "hunter22") for name in ("DBPASS", "SMTPPASS", "DBPWD", "SECRETKEY", "MASTERKEY", "ENCRYPTIONKEY",
      "JWTKEY",
      "PGPASS", "HTPASSWD", "WP_AUTH_SALT", "PEPPER", "ERLANG_COOKIE", "ADMIN_PIN", "VAULT_SECRET_ID", "API_TOKENS")),
    # a word that asks for a switch, and another value
    ("RANDOM_SECRET", "abcd"), ("ENABLE_TOKEN", "abcd"), ("USE_API_TOKEN", "a-b"), ("SECRET", "48291"),
    ("TOKEN", "1234"),
    # doubtful names with a value of no words
    ("S3_KEY", "a1B2c3D4e5F6"), ("TOKEN_GITHUB", "a1B2c3D4e5F6"), ("PIN_KEY", "changeme"),
    ("MAILGUN_KEY", "482910384756"), ("BACKUP_KEY", "qwmzanbxopea"), ("GOOGLE_CREDENTIALS", "abcd efgh ijkl mnop"),
    ("APPLE_KEY", "abcd-efgh-ijkl-mnop"), ("BACKUP_KEY", "abc123.x9y8.word"),
    # names that only a value can decide
    *((name, "0f1e2d3c4b5a69788796a5b4c3d2e1f0") for name in (
      "TWILIO_AUTH", "WG_PRIVATE", "RAILS_MASTER", "ACCESSKEY")),
    ("NEO4J_AUTH", "neo4j/hunter22"), ("BASICAUTH", "admin:hunter22"), ("DB_CREDS", "admin:hunter22"),
    # commands
    *(("", text) for text in (
      "redis-server --requirepass hunter22", "redis-cli -h x -a hunter22 ping",
      "--api-key hunter22", "mysqladmin ping -uroot -phunter22", "serve --db.password 'hunter22'",
      "user default on >hunter22 ~* +@all", "redis-server --masterauth hunter22",
      "REDISCLI_AUTH=hunter22 redis-cli ping",
      "curl -u elastic:hunter22 localhost", "etcdctl --user root:hunter22 get x", "serve --basic-auth me:hunter22",
      "mongosh -u root -p hunter22 --eval x", "cypher-shell -u neo4j -p hunter22", "ldapsearch -D cn=x -w hunter22",
      "/opt/mssql-tools/bin/sqlcmd -U sa -P 'Hunter22!'", "mc alias set s3 http://minio:9000 me hunter22",
      r'sh -c "mongosh -u root -p \"hunter22\""', r'{"a": "{\"password\": \"hunter22\"}"}',
      "--encryption-key hunter22",
      "mongo -u root -phunter22 --eval 1", 'livekit-server --keys "devkey: hunter22"', "htpasswd -nbB admin hunter22",
      "echo hunter22 | htpasswd -i /f admin", "htpasswd -bc /f admin hunter22",
      "echo -n 'hunter22' | docker login --password-stdin", "Driver={PostgreSQL};Pwd={hunter22};",
      'proxy_set_header X-Api-Key "hunter22";', "proxy_set_header X-Auth-Token hunter22;",
      "$2a$14$" + "a1B2" * 13 + "c", '{"auths": {"x": {"auth": "bWU6aHVudGVyMjI="}}}',
      "CREATE USER x WITH PASSWORD 'hunter22';", "IDENTIFIED WITH sha256 BY 'hunter22'",
      "<password>hunter22</password>")),
    ("DB_ENC_KEY", "supabaserealtime"), ("ANY", "db:5432:app:app:fd4d/64"),
    # credentials
    ("OTEL_EXPORTER_OTLP_HEADERS", "x-honeycomb-team=abc"), ("ORA", "jdbc:oracle:thin:app/hunter22@db:1521/x"),
    ("ANY", "glsa_" + "a1B2" * 8 + "_0a0a0a0a"), ("ANY", "glc_" + "a1B2" * 10), ("ANY", "NRAK-" + "A1B" * 9),
    ("ANY", "sk.eyJ" + "a1B2" * 5 + "." + "a1B2" * 5), ("PING", "https://hc-ping.com/123e4567-e89b-12d3"),
    ("HTTP_AUTHORIZATION", "Basic YWRtaW4="), ("AUTHORIZATION", "Bearer hunter"),
    ("OTEL", "authorization=Bearer%20abc"),
    ("HEADERS", "x-api-key: abc"), ("HEADERS", "DD-API-KEY=abc"), ("BASIC_AUTH_USERS", "admin:PASSWORD"),
    ("VISITORS", "me:$2y$05$abcdefgh"), ("VISITORS", "me:$apr1$abcdefgh"), ("VISITORS", "me:{SHA}abcdefgh"),
    # in URLs, connection strings, options, JSON
    ("DATABASE_URL", "postgres://app:s3cr3t/pw9@db/app"), ("DATABASE_URL", "postgres://app:p@ss@db/app"),
    ("SMTP_URL", "smtps://me@x.test:hunter2@smtp.x.test"), ("PGFILE", "db:5432:app:app:pw"), ("FERNET_KEY", "abcd"),
    ("SENTRY_URL", "https://" + "0a" * 16 + "@o1.ingest.example/2"), ("BLOB", "https://x.test/c?sp=r&sig=a1B2c3D4e5F6g7H8"),
    ("ConnectionStrings__Default", "Server=db;User Id=sa;Password=Hunter2;"), ("ANY", "host=db user=x password=hunter"),
    ("ANY", "AccountName=x;AccountKey=abc=="), ("ANY", "Endpoint=sb://x/;SharedAccessKey=abc="),
    ("JAVA_OPTS", "-Xmx1g -Djavax.net.ssl.keyStorePassword=changeit"),
    ("REDIS_ARGS", "--save 60 1 --requirepass hunter"),
    ("ANY", '{"user": "x", "password": "hunter"}'),
    # tokens of whatever maker
    *(("ANY", f"{prefix}Zk39dLq0PwX1vB7tYcN4mR8sHaJ2eFgU5iKo") for prefix in (
      "sb_secret_", "dp.pt.", "pscale_tkn_", "figd_", "pcsk_", "pplx-", "xai-", "ATATT3x-", "FlyV1 fm2_")),
    *(("ANY", f"{prefix}0f1e2d3c4b5a69788796a5b4c3d2e1f0") for prefix in ("lsv2_pt_", "lsv2_sk_", "acme-secret-")),
    ("ANY", "pat-na1-1f3e5d7c-22a2-4b3c-8d4e-5f6a7b8c9d0e"), ("LDAP_BIND_CRED", "hunter22"),
    ("STORAGE", "minio?accessKey=minioadmin&secretKey=minioadmin"),
    # keys, also in base64
    ("ANY", "-----BEGIN PGP PRIVATE KEY BLOCK-----"), ("ANY", "eyJhbGciOiJI.eyJyb2xlIjoi." + "a1B2" * 5),
    ("ANY", base64.b64encode(b"-----BEGIN RSA PRIVATE KEY-----\nMIIEabc\n").decode()),
    ("ANY", base64.b64encode(b'{"private_key": "-----BEGIN PRIVATE KEY-----"}').decode()),
    ("ANY", "gsk_" + "a1B2" * 12), ("ANY", "r8_" + "a1B2" * 9), ("ANY", "ntn_" + "a1B2" * 11),
    ("ANY", "sbp_" + "0a" * 20),
    ("ANY", "re_a1B2c3D4_" + "a1B2" * 6), ("ANY", "SK" + "0a" * 16), ("ANY", "AKIA" + "A1B2" * 4 + ":" + "a1B2" * 9),
]  # fmt: skip
PLAIN = [
    ("ANY", "requirepass \nport 6379"), ("ANY", "redis-server --requirepass --appendonly yes"),
    ("API_KEY_RATE_LIMIT", "60/minute"), ("PASS_SCHEME", "BLF-CRYPT"), ("SENTRY_DSN", "0"), ("API_KEY", "invalid"),
    ("API_KEY", "none"), ("TLS_KEY", "/etc/tls/key.pem"), ("TLS_KEY", "./certs/key.pem"), ("DKIM_KEY", "/keys/dkim"),
    ("JWKS_KEYS", "https://id.example/keys"),
    ("SECRET_KEY", "/run/secrets/key"), ("WORKER_TOKEN", "file:///home/x/token"), ("DB_PASSWORD", "file:/x/db-pass"),
    ("ADMIN_PASSWORD", "false"), ("SMTP_AUTH", "plain"), ("SMTP_AUTH", "true"), ("PROXY_AUTH", "http://x/y"),
    ("COMMIT", "0123456789abcdef0123456789abcdef01234567"), ("IMAGE", "ghcr.io/acme/shop@sha256:" + "ab" * 32),
    ("DOMAIN", "shop.example.com"), ("STRIPE_PK", "pk_live_" + "a1B2" * 6),
    ("ID", "123e4567-e89b-12d3-a456-426614174000"),
    ("SEARCH_URL", "https://x.example/?q=token"), ("MONGO_URL", "mongodb://db/x?authSource=admin"), ("DISK", "disk-1"),
    ("SMTP_AUTH", "login"), ("REPO_PRIVATE", "true"), ("SPARK_MASTER", "spark://spark:7077"), ("NEO4J_AUTH", "none"),
    ("MAC", "02:42:ac:11:00:02"), ("NET", "fd00:1:2:3:4:5:6:7"), ("S3_KEY", "uploads/photos.zip"), ("OAUTH", "on"),
    *(("", text) for text in ("redis-cli -a $REDIS_PASSWORD ping", "redis-cli -a '$$PW' ping", "mysqladmin ping -p$PW",
      "mysqladmin -p${PW} ping", "psql --no-password shop", "curl -H 'Authorization: Bearer $TOKEN' x",
      "--token-file /x --secret /run/secrets/x --password-stdin", "export PASSWORD=`cat /run/secrets/x`",
      "mkdir -p /data", "mysql -P 3306 -h db", "user default on >$PW ~*", "--password --user x", "on >out",
      "credentials:\n  type: file\n", "password =\nuser = me\n",
      # what a program reads or calls, files, switches, prose
      'SECRET_KEY = os.getenv("KEY")', "SECRET_KEY = ENV['KEY']", "const token = process.env.TOKEN;",
      "token: env:TOKEN",
      "const token = tokenOf(request)", 'log("KEY: JWT_PRIVATE_KEY="+JSON.stringify(key))', "api_key: os.environ/KEY",
      "password: !secret mqtt", "password: !env PW", "password: null", '{"token": null, "password": false}',
      '"credentials": [\n {"secretKey": "env:KEY"}]', "password: file:/run/secrets/x", "--password file:/run/secrets/x",
      "sed 's|password=.*|password=$PW|' /x", "--secret id=npm,src=/x", "--token env:TOKEN", "--password stdin",
      "--token 30m", "--password @/x", "adduser --disabled-password me", "username=me,credentials=/root/.smb",
      "token: see the wiki", "Password: as in the wiki", "echo password: see /root/x", "access_key: minio",
      r'sh -c "mongosh -p \"$PW\""', r'sh -c "mysqladmin -p\"$PW\" ping"', r'sh -c "PGPASSWORD=\"$PW\" psql"',
      "curl -u $U:$PW x", "docker run --user app:app", "curl --user-agent probe:1 x", "mongodump --port 27017",
      "ldapsearch -W -H ldap://x:389", "mc alias set s3 http://minio:9000 $U $PW", "WITH PASSWORD '$PW'",
      "<password></password><token>${T}</token>", "IDENTIFIED BY RANDOM PASSWORD")),
    ("USERS", "me:${HASH}"), ("SUBNET", "fd4d:6169:6c63:6f77::/64"), ("STRIPE_KEY", "pk_test_" + "a1B2" * 6),
    ("NEXT_PUBLIC_SENTRY_DSN", "https://" + "0a" * 16 + "@o1.ingest.example/2"),
    ("ROUTE", "task-based"), ("LOG_LEVEL", "info"), ("SK", "x"),
    *(tuple(line.split("=", 1)) for line in (
      "CACHE_KEY=sessionstorage", "ssl.key=certs/elasticsearch-key.pem", "ROUTING_KEY=orders.created.international",
      "PARTITION_KEY=subscriptionid", "AWS_CREDS=instanceprofile", "CORS_CREDENTIALS=include",
      "S3_KEY=dumps/x", "CACHE_KEY=myapp", "SORT_KEY=created_at", "PRIMARY_KEY=id",
      "FILE_PAT=*.csv", "PW_BROWSER=chromium", "TOKEN_SYMBOL=ETH", "PASS_THROUGH=yes-all", "KEY_LAYOUT=us",
      "RESET_PASSWORD_ROUTE=reset-pw", "FORGOT_PASSWORD_LINK=/forgot", "PASSWORD_AUTHENTICATION=no-ssh",
      "PROXY_PASS=http://web:80", "MAX_TOKENS=4096", "TOKENS_PER_MINUTE=5000", "CACHE_MAX_KEYS=10000", "BCRYPT_SALT=10",
      "MYSQL_RANDOM_ROOT_PASSWORD=1", "MARIADB_ALLOW_EMPTY_ROOT_PASSWORD=1", "GPIO_PIN=17", "COMPASS=north",
      "BYPASS=lan", "SECRET_STORE=vault",
      "USERS=1000:1000", "AUTH=basic", "AUTH_TYPE=Bearer", "AUTHORIZATION=enabled", "REALM=Basic Authentication",
      "CORS_HEADERS=Authorization, X-Api-Key", "LOG_FORMAT=time=%t token=%k", "OPTIONS=password=${DB_PASSWORD}",
      "CDN=https://unpkg.com:443/react@18", "WEB=https://host:8080/a@b", "GIT=https://git@github.com/x/y",
      "AUTHORIZED_KEYS=ssh-ed25519 AAAAC3NzaC1 me", "NEXT_PUBLIC_ANON_KEY=eyJhbGciOiJI.eyJyb2xlIjoi." + "a1B2" * 5,
    )),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), SECRETS)
def test_what_is_secret_by_name_or_form_is_one_and_says_why(name: str, value: str) -> None:
    assert why_secret(name, value)
    assert value not in why_secret(name, value)


TYPED = "Zk39dLq0PwX1vB"
AROUND = [
    # names, and texts in which {} is the secret
    ("API_TOKEN", "{}"), ("API_TOKEN", '"{}"'), ("SMTP_AUTH", "admin:{}"), ("NEO4J_AUTH", "neo4j/{}"),
    ("ANY", "https://hooks.slack.com/services/{}"), ("ANY", "https://{}AbCd123@o1.ingest.example/2"),
    *(("", text) for text in (
      "redis-cli -h cache -a {} ping", "mysqladmin ping -uroot -p{}", "curl -u admin:{} http://web/", "--password {}",
      "run --password={} --user admin", "serve --basic-auth me:{}", "user default on >{} ~*", "redis://:{}@cache/0",
      "postgres://app:{}@db:5432/app?sslmode=disable", "requirepass {}\nport 6379", '{{"password": "{}"}}',
      "Server=db;User Id=sa;Password={};", "f(password={})", "mount -o password={},vers=3",
      "<password>{}</password>", "CREATE USER x WITH PASSWORD '{}';",
      "curl -H 'Authorization: Bearer {}' http://web", "jdbc:oracle:thin:app/{}@db:1521/x",
      "admin:$apr1${}", "mc alias set s3 http://minio:9000 me {}", "db:5432:app:app:{}", "x-api-key: {}",
      "https://x.test/c?sig={}AbCd12", "-Ddb.password={} -Xmx1g")),
]  # fmt: skip


@given(st.sampled_from(AROUND), st.data())
def test_only_a_declared_value_that_is_the_secret_and_all_of_it_is_none(
    around: tuple[str, str], data: st.DataObject
) -> None:
    name, text = around[0], around[1].format(TYPED)
    begin = data.draw(st.integers(0, len(text) - 1))
    part = text[begin : data.draw(st.integers(begin + 1, len(text)))]
    assert why_secret(name, text, {part}) or TYPED in part
    whole = next(each for each in (f"$apr1${TYPED}", f"{TYPED}AbCd123", f"{TYPED}AbCd12", TYPED) if each in text)
    assert not why_secret(name, text, {whole})
    assert not why_secret(name, text, {whole, "admin", "e", "="})


@pytest.mark.parametrize(("name", "value"), SECRETS)
def test_words_that_others_declare_hide_no_secret(name: str, value: str) -> None:
    words = ["https", "mysql", "redis", "password", "token", "admin", "app", "me", "root", "p", "ss", "x", "=", "1"]
    assert why_secret(name, value, [word for word in words if word != value])


@pytest.mark.parametrize(("name", "value"), PLAIN)
def test_what_is_no_secret_alarms_nobody(name: str, value: str) -> None:
    assert not why_secret(name, value)


EVIDENT = [
    "", "1", "true", "v2", "16-alpine", "1.2.3-rc1", "512mb", "1h30m", "60/minute", "1e3", "info", "HS256",
    "Europe/Berlin",
    "en_US.UTF-8", "*/5 0 * * 1-5", "./library", "/srv/data", "10.0.0.0/8,192.168.1.1", "30000-30100", "postgres",
    "shop-7f3a9c.example.com", "me@example.com", "Shop <shop@example.com>", "https://a.example.com,https://b.example.com",
    "https://shop.example.com/api/v1?x=1&y=on", "postgres://db:5432/app?sslmode=disable", "redis://cache:6379/0",
    "ghcr.io/acme/shop:1.2.3@sha256:" + "0a" * 32, '{"a": 1, "b": [true]}', "Hello, world! It's (ours)",
    "hällo wörld ☃",
    "config.settings.production", "--enable-x=1 --y", "camelCase", "a:b", "-1001234567890", "BLF-CRYPT",
]  # fmt: skip


@pytest.mark.parametrize("value", EVIDENT)
def test_an_ordinary_value_is_evidently_plain(value: str) -> None:
    assert not why_not_plain("ANY", value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("ANY", "hunter2"), ("ANY", "abcd efgh ijkl mnop"), ("SERIAL", "ABCD-1234-EFGH-5678"),
     ("ANY", "Summer2024!"), ("PIN", "4711"), ("SMS_OTP", "123456"), ("SEED", "correct horse"),
     ("ANY", "winner thank year wave sausage worth useful legal winner thank yellow lion"),
     ("HOOK", "https://x.example.com/T0/a1B2c3D4e5"), ("CLIENT_ID", "123e4567-e89b-12d3-a456-426614174000")],
)  # fmt: skip
def test_what_is_not_evidently_plain_says_why(name: str, value: str) -> None:
    assert why_not_plain(name, value)
    assert value not in why_not_plain(name, value)


@given(st.integers(20, 48), st.sampled_from([secrets.token_hex, secrets.token_urlsafe]))
def test_no_generated_value_is_evidently_plain(size: int, make: Callable[[int], str]) -> None:
    assert why_not_plain("ANY", make(size))


@pytest.mark.parametrize(
    "text",
    ["://a:" + "@" * 9999, "://a:b@" + "h" * 9999 + "@", "://a:" + "/" * 9999, "://a:b" * 2000, "eyJ" * 4000,
     "sig=" * 3000,
     "password" * 2000,
     "ab_" * 4000, "ab-" + "a1" * 5000, "echo a|" * 1500, "htpasswd -b a " * 900, "$apr1$" * 2000,
     "." * 9999, "aaA" + "A" * 9999, "a." * 5000, "/a" * 5000, "bearer " * 2000, "A1" * 5000,
     "redis-cli " * 2000, "--a-a-a-" * 3000, "mysql -" * 3000, "user a on " * 2000, "jdbc:oracle:a:" * 2000,
     "mc alias set " * 800, "curl -u a" * 2000, "token=a.a.a." * 900, "password>" * 1200, "password:" + " a" * 5000],
)  # fmt: skip
def test_no_long_text_keeps_the_judge_busy(text: str) -> None:
    start = time.process_time()
    why_secret("KEY", text)
    why_not_plain("ANY", text)
    assert time.process_time() - start < 1


@given(
    st.binary(min_size=9, max_size=48), st.sampled_from(["POSTGRES_PASSWORD", "API_KEY", "JWT_SECRET", "AUTH_TOKEN"])
)
def test_no_generated_value_is_taken_for_something_else(value: bytes, name: str) -> None:
    for text in (base64.b64encode(value).decode(), base64.urlsafe_b64encode(value).decode(), value.hex()):
        assert why_secret(name, text)
        assert why_secret(name, f"/{text}")


@pytest.mark.parametrize(("name", "value"), [("SENTRY_DSN", "0"), ("API_KEY", "invalid"), ("AUTH_TOKEN", "disabled")])
def test_a_secret_that_says_there_is_none_is_not_weak(name: str, value: str) -> None:
    assert weakness(name, value) is None
    assert weakness("DB_PASSWORD", value)
    assert weakness("SECRET_KEY", value)


def test_an_address_with_credentials_is_a_secret_whatever_its_name() -> None:
    assert is_secret("DATABASE_URL", "postgres://app:hunter22@db/app")
    assert is_secret("CELERY_BROKER_URL", "redis://:hunter22@cache/0")
    assert not is_secret("DATABASE_URL", "postgres://db/app")


@pytest.mark.parametrize(
    "value",
    ["changeme", "CHANGE_ME", "Change-Me!", "change me please", "password", "Password123", "secret", "xxx", "********",
     "<your-password>", "your-password-here", "replace_with_real_one", "todo", "example", "${DB_PASSWORD}",
     "django-insecure-k3j4h5k3j4h5"],
)  # fmt: skip
@pytest.mark.parametrize("name", ["DB_PASSWORD", "APP_USER"])
def test_a_placeholder_is_weak_whatever_its_name(name: str, value: str) -> None:
    assert weakness(name, value) == "is a placeholder"


_PUBLISHED = {  # as well-known applications publish them
    "POSTGRES_PASSWORD": ["changePassword", "mysecretpassword", "postgrespassword", "verysecretpassword",
                          "your-super-secret-and-long-postgres-password", "your_password_here", "testpassword123"],
    "MYSQL_PASSWORD": ["my-secret-pw", "secret_firefly_password", "supersecretpassword", "examplepassword"],
    "MSSQL_SA_PASSWORD": ["yourStrong(!)Password", "YourStrong!Passw0rd", "TODO-set-this-later", "nextcloudpassword",
                          "My$ecretP@ssw0rd", "wordpress_password1"],
    "DASHBOARD_PASSWORD": ["this_password_is_insecure_and_should_be_updated", "PASSWORD_REPLACE_ME"],
    "ENCRYPTION_KEY": ["changeEncryptionKey", "your-encryption-key-32-chars-min", "thisisunsafe-change-it"],
    "RUNNERS_AUTH_TOKEN": ["changeRunnerAuthToken", "some-random-string-here", "insert-secret-here-1234"],
    "APP_KEY": ["SomeRandomStringOf32CharsExactly", "SomeRandomStringWith32Characters"],
    "JWT_SECRET": ["your-super-secret-jwt-token-with-at-least-32-characters-long", "your-256-bit-secret"],
    "SECRET_KEY": ["super_secret_key_that_should_be_changed", "replace_with_openssl_rand_hex_32",
                   "dev-secret-key-do-not-use-in-production", "put-your-unique-phrase-here"],
    "OPENAI_API_KEY": ["sk-your-openai-api-key", "your_openai_api_key"],
}  # fmt: skip


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in _PUBLISHED.items() for value in values])
def test_words_for_a_secret_that_is_none_are_a_placeholder(name: str, value: str) -> None:
    assert weakness(name, value) == "is a placeholder"


@pytest.mark.parametrize(
    ("name", "value"),
    [*(("DB_PASSWORD", value) for value in (
        "correct horse battery staple", "put-ink-lantern-mongoose", "change-melon-walrus-oxide",
        "enter-crispy-default-badger", "my dog ate the random string yesterday", "password-kqzvhrtxplmw",
        "secret_Zk2Jd8sLq0pWnR7tYbVc", "test_4f9a8c7b6d5e4f9a8c7b")),
     ("DB_USER", "postgres_user"), ("HTTP_METHOD", "put"), ("SITE_TITLE", "My test server"),
     ("CACHE_CLASS", "django_redis.client.DefaultClient"), ("MAIL_DOMAIN", "example.com")],
)  # fmt: skip
def test_a_passphrase_or_a_plain_value_is_no_placeholder(name: str, value: str) -> None:
    assert weakness(name, value) is None


@pytest.mark.parametrize("value", ["", "  ", "\n"])
def test_nothing_is_weak(value: str) -> None:
    assert weakness("ANY", value) == "is empty"


def test_only_what_is_named_like_a_secret_is_too_short() -> None:
    assert weakness("DB_PASSWORD", "Kq3vX9pLm2z") == "has fewer than 12 characters"
    assert weakness("DB_PASSWORD", "Kq3vX9pLm2zT") is None
    assert weakness("DB_USER", "app") is None
    assert weakness("CHAT_ID", "123456") is None


def test_a_password_that_is_the_name_of_a_user_is_weak() -> None:
    users = user_names({"DB_USERNAME": "kibanaserver", "SMTP_USER": "", "DB_HOST": "database-one-two"})
    assert users == {"kibanaserver"}
    assert weakness("DB_PASSWORD", "kibanaserver", users) == "is its user's name"
    assert weakness("DB_PASSWORD", "database-one-two", users) is None
    assert weakness("API_TOKEN", "kibanaserver", users) is None


@pytest.mark.parametrize("value", ["DB_PASSWORD", "dbpassword", "123456789012345", "abcdefghijklm", "zzzzzzzzzzzzzzz"])
def test_what_anybody_would_try_first_is_weak(value: str) -> None:
    assert weakness("DB_PASSWORD", value) == "is a placeholder"


def test_no_word_of_a_placeholder_consists_of_hexadecimal_digits() -> None:
    assert not [word for word in f"{_TELLING} {_SAID}".split() if re.fullmatch("[0-9a-f]+", word)]


@given(st.integers(), st.integers(12, 64), st.sampled_from(["SECRET_KEY", "DEAD_TOKEN"]))
def test_a_random_secret_is_never_weak(seed: int, size: int, name: str) -> None:
    random = Random(seed)  # noqa: S311  # to be drawn again
    drawn = random.randbytes(size)
    texts = [each(drawn).decode() for each in (base64.b64encode, base64.b32encode, base64.urlsafe_b64encode)]
    texts += ["".join(random.choices(letters, k=size)) for letters in (string.ascii_lowercase, string.digits)]
    for text in (drawn.hex(), *texts):
        assert weakness(name, text) is None


@given(st.text(), st.text())
def test_no_name_or_value_is_too_strange_to_judge(name: str, value: str) -> None:
    said = weakness(name, value)
    is_secret(name, value)
    assert said is None or len(value.strip()) < 4 or value.strip() not in said


@pytest.mark.parametrize(
    "name",
    ["POSTGRES_PASSWORD", "DB_PASS", "PGPASSWORD", "dbPassword", "MYSQL_ROOT_PASSWORD", "SECRET_KEY", "SECRET_KEY_BASE",
     "DJANGO_SECRET_KEY", "JWT_SECRET", "SESSION_SECRET", "SIGNING_KEY", "BETTER_AUTH_SECRET", "COOKIE_SECRET",
     "MONGO_INITDB_ROOT_PASSWORD", "GRAFANA_ADMIN_PASSWORD", "redis_password", "APP_SECRET", "NEXTAUTH_SECRET"],
)  # fmt: skip
def test_what_an_application_may_make_up_gets_a_random_value_that_a_url_can_hold(name: str) -> None:
    assert new_secret("test", name) == (
        f"openssl rand -hex 24 | pulumi config set --secret --path 'secrets.{name}' --stack test"
    )


@pytest.mark.parametrize(
    "name",
    ["DATABASE_URL", "REDIS_URI", "SENTRY_DSN", "STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET", "OPENAI_API_KEY",
     "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "GOOGLE_CREDENTIALS_JSON", "SERVICE_ACCOUNT_KEY", "API_KEY", "APP_KEY",
     "RAILS_MASTER_KEY", "FERNET_KEY", "SMTP_PASSWORD", "OAUTH_CLIENT_SECRET", "PRIVATE_KEY", "COMPASS_TOKEN",
     "BYPASS_KEY", "SLACK_SIGNING_SECRET", "FACEBOOK_APP_SECRET", "TWITTER_ACCESS_TOKEN_SECRET", "PARTNER_PASSWORD"],
)  # fmt: skip
def test_what_comes_from_somewhere_is_asked_for(name: str) -> None:
    assert not made_up(name)
    assert new_secret("test", name) == f"pulumi config set --secret --path 'secrets.{name}' --stack test < /dev/tty"


def test_the_address_of_a_database_is_probably_secret_and_the_shells_folder_is_not() -> None:
    assert all(map(probably_secret, ("DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL", "SHOP_DB_DSN", "API_TOKEN")))
    assert not any(map(probably_secret, ("PUBLIC_URL", "PWD", "BASE_URL", "TAG")))
