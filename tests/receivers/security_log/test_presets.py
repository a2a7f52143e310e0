"""What each preset makes of its lines: always an event that OCSF's own schema finds nothing wrong with.

Lines of auditd and of the Kubernetes API server are recorded ones (from their documentation), as neither runs here.
"""
# ruff: noqa: E501, ISC004  # lines of logs are as long as they are

import pytest

from tests.receivers.security_log.schema import event, problems, unknown

SYSLOG = "Nov 26 11:14:40 web1 "
AUDIT = "msg=audit(1364481363.243:24287): "
K8S = (
    '{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"a-b","stage":"ResponseComplete",'
    '"requestURI":"/api/v1/namespaces/d/pods","verb":"%s","user":{"username":"admin","uid":"u1","groups":["ops"]},'
    '"sourceIPs":["9.9.9.9","1.2.3.4"],"userAgent":"kubectl/v1.29","objectRef":{"resource":"pods","namespace":"d",'
    '"name":"x","apiVersion":"v1"},"responseStatus":{"metadata":{},"code":%d},"requestReceivedTimestamp":'
    '"2026-11-26T11:00:00.250000Z","stageTimestamp":"2026-11-26T11:00:01.000000Z","annotations":'
    '{"authorization.k8s.io/decision":"allow"}}'
)
PG = '{"timestamp":"2026-11-26 11:00:00.250 UTC","user":"u","dbname":"db","pid":12,"remote_host":"%s","remote_port":9,'

LINES = [
    ("sshd[9]: Failed password for invalid user bob from 10.0.0.4 port 50024 ssh2", 300201, 2, "bob", "10.0.0.4"),
    ("sshd[9]: Failed password for root from fe80::1%eth0 port 50024 ssh2", 300201, 2, "root", "fe80::1%eth0"),
    ("sshd[9]: Accepted publickey for root from ::1 port 6 ssh2: ED25519 SHA256:abc", 300201, 1, "root", "::1"),
    ("sshd-session[9]: Invalid user  from 1.2.3.4 port 6", 300206, 2, "", "1.2.3.4"),
    ("sshd[9]: User bin from 1.2.3.4 not allowed because not listed in AllowUsers", 300206, 2, "bin", "1.2.3.4"),
    (
        "sshd[9]: error: maximum authentication attempts exceeded for invalid user x from 1.2.3.4 port 6 ssh2 [preauth]",
        300206, 2, "x", "1.2.3.4",
    ),
    ("sshd[9]: error: PAM: Authentication failure for root from 1.2.3.4", 300206, 2, "root", "1.2.3.4"),
    ("sshd[9]: Connection from 1.2.3.4 port 6 on 5.6.7.8 port 22", 400701, 1, "", "1.2.3.4"),
    ("sshd[9]: Connection closed by authenticating user root 1.2.3.4 port 6 [preauth]", 400702, 1, "", "1.2.3.4"),
    ("sshd[9]: Connection reset by 1.2.3.4 port 6", 400702, 1, "", "1.2.3.4"),
    ("sshd[9]: Disconnected from user root 1.2.3.4 port 6", 400702, 1, "", "1.2.3.4"),
    ("sshd[9]: Did not receive identification string from 1.2.3.4 port 6", 400704, 2, "", "1.2.3.4"),
    ("sshd[9]: banner exchange: Connection from 1.2.3.4 port 6: invalid format", 400704, 2, "", "1.2.3.4"),
    ("sudo:    al : TTY=pts/0 ; PWD=/home/al ; USER=root ; COMMAND=/usr/bin/id -u", 300207, 1, "al", ""),
    (
        "sudo[7]:    al : 3 incorrect password attempts ; TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/id",
        300207, 2, "al", "",
    ),
    ("sudo[7]:    al : user NOT in sudoers ; PWD=/ ; USER=root ; COMMAND=/usr/bin/id", 300207, 2, "al", ""),
    (
        "login[7]: pam_unix(login:auth): authentication failure; logname=LOGIN uid=0 euid=0 tty=/dev/tty1 ruser= rhost=",
        300201, 2, "", "",
    ),
    (
        "sshd[7]: pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=1.2.3.4  user=b",
        300206, 2, "b", "1.2.3.4",
    ),
    ("login[7]: pam_unix(login:session): session opened for user bob(uid=1001) by LOGIN(uid=0)", 300201, 1, "bob", ""),
    ("cron[7]: pam_unix(cron:session): session closed for user root", 300202, 1, "root", ""),
    ("passwd[7]: pam_unix(passwd:chauthtok): password changed for bob", 300103, 1, "bob", ""),
    ("su[7]: (to root) al on pts/0", 300207, 1, "al", ""),
    ("su[7]: FAILED SU (to root) al on pts/0", 300207, 2, "al", ""),
    (
        "useradd[7]: new user: name=bob, UID=1001, GID=1001, home=/home/bob, shell=/bin/sh, from=none",
        300101, 1, "bob", "",
    ),
    ("userdel[7]: delete user 'bob'", 300106, 1, "bob", ""),
    ("usermod[7]: add 'bob' to group 'sudo'", 300603, 1, "bob", ""),
    ("groupadd[7]: new group: name=ops, GID=1002", 300606, 1, "", ""),
    (
        "sshd[1]: Disconnecting authenticating user al 1.2.3.4 port 22: Too many authentication failures [preauth]",
        400702, 1, "", "1.2.3.4",
    ),
    ("sshd[1]: Timeout before authentication for 1.2.3.4 port 22", 400704, 2, "", "1.2.3.4"),
    (
        "sshd[1]: Timeout before authentication for connection from 1.2.3.4 to 10.0.0.1, pid = 5",
        400704, 2, "", "1.2.3.4",
    ),
    (
        "sshd[1]: PAM 2 more authentication failures; logname= uid=0 euid=0 tty=ssh ruser= rhost=1.2.3.4  user=root",
        300206, 2, "root", "1.2.3.4",
    ),
]  # fmt: skip

WHOLE = [
    (
        f"type=USER_AUTH {AUDIT}pid=1 uid=0 auid=4294967295 ses=4294967295 msg='op=PAM:authentication acct=\"root\" "
        "exe=\"/usr/sbin/sshd\" hostname=? addr=1.2.3.4 terminal=ssh res=failed'UID=\"root\" AUID=\"unset\"",
        300206, 2, "root", "1.2.3.4",
    ),
    (
        f"type=USER_LOGIN {AUDIT}pid=1234 uid=0 auid=4294967295 ses=4294967295 msg='op=login acct=\"root\" "
        "exe=\"/usr/sbin/sshd\" hostname=? addr=1.2.3.4 terminal=sshd res=failed'",
        300201, 2, "root", "1.2.3.4",
    ),
    (
        f"node=db1 type=SYSCALL {AUDIT}arch=c000003e syscall=2 success=no exit=-13 a0=7fffd19c5592 a1=0 items=1 ppid=2 "
        'pid=3538 auid=1000 uid=1000 comm="cat" exe="/bin/cat" key="sshd_config"\x1dSYSCALL=open AUID="al"',
        100799, 2, "1000", "",
    ),
    (
        f"type=USER_CMD {AUDIT}pid=1 uid=1000 auid=1000 ses=3 msg='cwd=\"/home/al\" cmd=6C73202D6C "
        "exe=\"/usr/bin/sudo\" terminal=pts/0 res=success'",
        100701, 1, "1000", "",
    ),
    (f'type=EXECVE {AUDIT}argc=2 a0="ls" a1=2D6C61', 100701, 0, "", ""),
    (
        f"type=ADD_USER {AUDIT}pid=1 uid=0 auid=1000 ses=3 msg='op=add-user id=1001 exe=\"/usr/sbin/useradd\" "
        "hostname=web1 addr=? terminal=pts/0 res=success'",
        300101, 1, "", "",
    ),
    (
        f"type=USER_CHAUTHTOK {AUDIT}pid=1 uid=0 auid=0 ses=3 msg='op=change-password acct=\"bob\" res=success'",
        300103, 1, "bob", "",
    ),
    (K8S % ("create", 201), 600301, 1, "admin", "1.2.3.4"),
    (K8S % ("list", 403), 600302, 2, "admin", "1.2.3.4"),
    (K8S % ("connect", 0), 600399, 0, "admin", "1.2.3.4"),
    ('1.2.3.4 - - [26/Nov/2026:11:14:00 +0000] "GET /x?a=1 HTTP/1.1" 404 9 "-" "curl"', 400203, 2, "", "1.2.3.4"),
    ('1.2.3.4 - bob [26/Nov/2026:11:14:00 +0100] "POST /x HTTP/2.0" 200 12', 400206, 1, "bob", "1.2.3.4"),
    ('a.org:443 ::1 - - [26/Nov/2026:11:14:00 +0000] "PURGE / HTTP/1.1" 500 - "-" "-"', 400299, 2, "", "::1"),
    (r'1.2.3.4 - - [26/Nov/2026:11:14:00 +0000] "\x16\x03\x01" 400 0 "-" "-"', 400200, 2, "", "1.2.3.4"),
    (
        '2026-11-26 11:00:00.250 UTC [123] bob@db FATAL:  password authentication failed for user "bob"',
        300201, 2, "bob", "",
    ),
    (
        '2026-11-26 11:00:00 UTC [1] FATAL:  no pg_hba.conf entry for host "::1", user "a b", database "db", SSL off',
        300201, 2, "a b", "::1",
    ),
    (
        '2026-11-26 11:00:00 UTC [1] FATAL:  pg_hba.conf rejects replication connection for host "192.0.2.7", '
        'user "standby", SSL encryption',
        300201, 2, "standby", "192.0.2.7",
    ),
    ("2026-11-26 11:00:00 UTC [1] LOG:  connection authorized: user=alice database=db", 300201, 1, "alice", ""),
    (
        "2026-11-26 11:00:00 UTC [1] LOG:  connection authorized: user=al ice database=db SSL enabled (protocol=TLSv1.3)",
        300201, 1, "al ice", "",
    ),
    (
        "2026-11-26 11:00:00 UTC [1] LOG:  disconnection: session time: 0:00:00.012 user=alice database=db host=10.0.0.1 "
        "port=5000",
        300202, 1, "alice", "10.0.0.1",
    ),
    (
        "2026-11-26 11:00:00 UTC [1] LOG:  disconnection: session time: 0:00:00.012 user=alice database=db host=[local]",
        300202, 1, "alice", "",
    ),
    ('2026-11-26 11:00:00 UTC [1] FATAL:  role "bob" does not exist', 300201, 2, "bob", ""),
    ('2026-11-26 11:00:00 UTC [1] FATAL:  permission denied for database "db"', 600503, 2, "", ""),
    ("2026-11-26 11:00:00 UTC [1] bob@db LOG:  connection authorized: user=bob database=db", 300201, 1, "bob", ""),
    (PG % "1.2.3.4" + '"error_severity":"FATAL","message":"role \\"u\\" does not exist"}', 300201, 2, "u", "1.2.3.4"),
    (PG % "[local]" + '"error_severity":"LOG","message":"disconnection: session time: 0:0"}', 300202, 1, "u", ""),
    (
        PG % "::1" + '"error_severity":"ERROR","message":"permission denied for table t","statement":"select 1"}',
        600504, 2, "u", "::1",
    ),
    (
        '2026-11-26 11:00:00.250 UTC,"u","db",12,"1.2.3.4:9",65.c,1,"authentication",2026-11-26 11:00:00 UTC,3/1,0,FATAL,'
        '28P01,"password authentication failed for user ""u""",,,,,,,,,"","client backend",,0',
        300201, 2, "u", "1.2.3.4",
    ),
    (
        "2026-11-26 11:00:00 UTC [1] u@db LOG:  AUDIT: SESSION,1,1,READ,SELECT,TABLE,public.t,\"select 'a, ERROR:  b'\",n",
        600501, 0, "u", "",
    ),
    (
        PG % "1.2.3.4" + '"error_severity":"LOG","message":"AUDIT: SESSION,2,1,DDL,DROP TABLE,TABLE,s.t,drop table t,n"}',
        600507, 0, "u", "1.2.3.4",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("line", "type_uid", "status", "user", "source"), LINES)
def test_a_syslog_line_becomes_the_event_it_tells_of(line, type_uid, status, user, source) -> None:
    """Class, activity, outcome, user and source are those of the line; machine and time are its header's."""
    found = event(SYSLOG + line)
    assert (found["type_uid"], found["status_id"], found["_user"], found["_source"]) == (type_uid, status, user, source)
    assert found["class_uid"] * 100 + found["activity_id"] == type_uid
    assert found.get("dst_endpoint", {"hostname": "web1"})["hostname"] == "web1"


@pytest.mark.parametrize(("line", "type_uid", "status", "user", "source"), WHOLE)
def test_a_line_without_a_syslog_header_becomes_the_event_it_tells_of(line, type_uid, status, user, source) -> None:
    """So do the lines that programs write into files of their own."""
    found = event(line)
    assert (found["type_uid"], found["status_id"], found["_user"], found["_source"]) == (type_uid, status, user, source)


@pytest.mark.parametrize("names", [
    'user "a", database "b", database "c"', 'user "a", user "b", database "c"', 'user "", database "c"',
])  # fmt: skip
def test_names_that_can_be_read_in_two_ways_are_not_read(names) -> None:
    """PostgreSQL writes quotation marks in names as they are: a user called `a", database "b` is not user a."""
    line = f'2026-11-26 11:00:00 UTC [1] FATAL:  no pg_hba.conf entry for host "::1", {names}, no encryption'
    found = event(line)
    assert (found["type_uid"], found["_user"], found["_source"]) == (300201, "unknown", "::1")
    assert "database" not in found["unmapped"]


def test_sshd_is_understood_without_a_header() -> None:
    """`sshd -E file` writes no header: the machine is ours, and the time the one at which the line was read."""
    found = event("Failed password for root from 1.2.3.4 port 6 ssh2")
    assert (found["dst_endpoint"], found["time"]) == ({"hostname": "here"}, 1_795_692_000_000)


def test_lines_that_were_joined_count_as_many() -> None:
    """`message repeated 5 times` is one event that happened five times."""
    found = event(f"{SYSLOG}sshd[9]: message repeated 5 times: [ Failed password for root from 1.2.3.4 port 6 ssh2]")
    assert (found["count"], found["_user"]) == (5, "root")


@pytest.mark.parametrize("line", [
    "", " ", "-", "sshd", f"{SYSLOG}sshd[9]:", f"{SYSLOG}sshd[9]: ", f"{SYSLOG}sshd[9]: Server listening on :: port 22.",
    f"{SYSLOG}cron[7]: (root) CMD (true)", "type=", "type=PROCTITLE msg=audit(1.2:3): proctitle=00", "{", "{}", '{"kind":1}',
    '{"kind":"Event","apiVersion":"audit.k8s.io/v1"}', '"', '] "', "2026-11-26 11:00:00 UTC [1] LOG:  checkpoint starting",
    "type=USER_LOGIN msg=audit(x): res=failed", f"{SYSLOG}sudo:  al : problem with defaults entries ; TTY=pts/0",
    "[" * 5000, "{" * 5000, '{"a":' * 5000, "type=SYSCALL msg=audit(" * 1000,
])  # fmt: skip
def test_a_line_that_nobody_knows_is_no_event(line) -> None:
    """Lines of other programs, cut ones, and ones that only begin like a known one."""
    assert unknown(line)


def test_the_judge_is_strict() -> None:
    """A field that the class does not have, a missing one and a wrong type are found: the other tests rely on it."""
    found = {key: value for key, value in event(SYSLOG + LINES[0][0]).items() if key[0] != "_"}
    assert problems(found | {"hostname": "x"})
    assert problems(found | {"time": "now"})
    assert problems({key: value for key, value in found.items() if key != "user"})
