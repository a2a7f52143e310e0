"""A machine of its own for programs that log to /dev/log: sshd, sudo and su, and a real rsyslogd behind it.

They run in a mount namespace, where /dev, sudoers and PAM's rules are others; the machine outside sees nothing of it.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.servers import program

RSYSLOG = """
module(load="imuxsock" SysSock.Name="/dev/log" SysSock.UsePIDFromSystem="on" SysSock.RateLimit.Interval="0")
template(name="old" type="string"
  string="%TIMESTAMP% %HOSTNAME% %syslogtag%%msg:::sp-if-no-1st-sp%%msg:::drop-last-lf%\\n")
action(type="omfile" file="{folder}/auth.log" template="old")
action(type="omfile" file="{folder}/iso.log" template="RSYSLOG_FileFormat")
{forward}
"""
FORWARD = """
action(type="omfwd" target="127.0.0.1" port="{port}" protocol="tcp" TCP_Framing="octet-counted"
  template="RSYSLOG_SyslogProtocol23Format")
"""
SSHD = """
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
PidFile none
AuthorizedKeysFile {folder}/user_key.pub
StrictModes no
PermitRootLogin yes
UsePAM yes
LogLevel VERBOSE
"""
SUDOERS = """
Defaults:daemon !authenticate
root ALL=(ALL:ALL) ALL
daemon ALL=(root) /usr/bin/id
"""
PAM = "auth required pam_unix.so nodelay\n"
SCENARIO = """
set -e
cd {folder}
mkdir dev && mount -t tmpfs tmpfs dev
for d in null zero full random urandom tty; do cp -a /dev/$d dev/; done
mkdir dev/pts dev/shm && mount --bind /dev/pts dev/pts && ln -s pts/ptmx dev/ptmx && ln -s /proc/self/fd dev/fd
mount --rbind dev /dev
chmod 440 sudoers && mount --bind sudoers /etc/sudoers
mount --bind pam /etc/pam.d/common-auth
mkdir -p /run/sshd
rsyslogd -n -f rsyslog.conf -i rsyslog.pid & log=$!
until [ -S /dev/log ]; do sleep 0.05; done
sshd=$(command -v sshd); $sshd -f sshd_config -D & ssh=$!
until (exec 3<>/dev/tcp/127.0.0.1/{port}) 2>/dev/null; do sleep 0.05; done
options="-F none -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o NumberOfPasswordPrompts=1 -p {port}"
key="-o PubkeyAuthentication=no"
sudo -n /usr/bin/id >&2 || true
setpriv --reuid=daemon --clear-groups sudo -n /usr/bin/id >&2 || true
setpriv --reuid=daemon --clear-groups sudo -n /bin/ls >&2 || true
mkdir -p "{folder}/ ; USER=nobody ; COMMAND=/bin/true" && cd "{folder}/ ; USER=nobody ; COMMAND=/bin/true"
sudo -n /usr/bin/id >&2 || true
cd {folder}
echo wrong | setpriv --reuid=daemon --clear-groups su root -c id >&2 || true
ssh $options -i user_key root@127.0.0.1 true || true
sshpass -p wrong ssh $options $key -l root 127.0.0.1 true || true
sshpass -p wrong ssh $options $key -l "root from 9.9.9.9 port 22 ssh2" 127.0.0.1 true || true
sleep 0.3
kill $ssh; sleep 0.2; kill $log; wait
"""


async def play(folder: Path, forward: int = 0) -> Path:
    """Let people log in, fail, and use sudo. What is said comes to `auth.log`, and to a port that takes syslog.

    Returns the folder with `auth.log`, whose times have no year, and `iso.log`, which holds the same.
    """
    for name, package in (
        ("rsyslogd", "rsyslog"), ("sshd", "openssh-server"), ("sshpass", "sshpass"), ("sudo", "sudo"),
        ("unshare", "util-linux"), ("ssh-keygen", "openssh-client"),
    ):  # fmt: skip
        program(name, package, f"/usr/sbin/{name}")
    if os.geteuid() != 0:
        pytest.skip("only root can make a mount namespace with another /dev")
    port = free_port()
    for key in ("host_key", "user_key"):
        await _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / key))
    (folder / "sshd_config").write_text(SSHD.format(folder=folder, port=port))
    (folder / "sudoers").write_text(SUDOERS)
    (folder / "pam").write_text(PAM)
    text = FORWARD.format(port=forward) if forward else ""
    (folder / "rsyslog.conf").write_text(RSYSLOG.format(folder=folder, forward=text))
    (folder / "scenario.sh").write_text(SCENARIO.replace("{folder}", str(folder)).replace("{port}", str(port)))
    await _run("unshare", "--mount", "--propagation", "private", "bash", str(folder / "scenario.sh"))
    return folder


async def _run(*command: str) -> None:
    environment = os.environ | {"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    process = await asyncio.create_subprocess_exec(
        *command, env=environment, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(60):
        said, _ = await process.communicate()
    assert process.returncode == 0, said.decode(errors="replace")
