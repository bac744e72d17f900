"""A SLURM of three nodes on this host: real daemons of this user, everything they write in one folder."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "squeue", "scancel")
NODES = ("n1", "n2", "n3")
ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "PREEMPTED", "OUT_OF_MEMORY", "BOOT_FAIL")
CONFIG = """
ClusterName=tests
FirstJobId={first_job}
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock,cred_expire=5
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
SlurmdParameters=config_overrides
SlurmdTimeout={slurmd_timeout}
ReturnToService=2
MinJobAge=3600
KillWait=10
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName=n[1-3] NodeHostname={host} NodeAddr=127.0.0.1 Port={first_port}-{last_port} CPUs=4 RealMemory=8000
PartitionName=debug Nodes=n[1-3] Default=YES MaxTime=INFINITE PriorityTier=1 PreemptMode=REQUEUE GraceTime=5
PartitionName=high Nodes=n[1-3] MaxTime=INFINITE PriorityTier=10 PreemptMode=OFF
"""
"""The third node is there when one of two has died. `cred_expire` lets a requeued job start again without a wait; job
numbers begin anywhere, as a cluster's do."""
SACCT = """#!/bin/sh
# Answers submitit's question for the states of jobs, which is meant for an accounting database, from the queue.
ids=; while [ $# -gt 0 ]; do case $1 in -j) ids=$ids,$2; shift;; esac; shift; done
echo 'JobID|State|NodeList'
squeue -h -r -t all -j "${ids#,}" -o '%i|%T|%N' 2>/dev/null
"""


def missing() -> list[str]:
    """The programs of SLURM that are not installed."""
    return [name for name in PROGRAMS if shutil.which(name, path=_path()) is None]


class Cluster:
    """The daemons, and what a user asks of them.

    Args:
        folder: for all that they write, with a short path: sockets are in it.
        port: of slurmctld; the next three are those of the nodes.
    """

    def __init__(self, folder: Path, port: int = 16817) -> None:
        self.folder = folder
        self.port = port
        self.config = folder / "slurm.conf"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("SLURM_")},
            "SLURM_CONF": str(self.config),
            "PATH": f"{folder}:{_path()}",
            "MASTER_ADDR": "127.0.0.1",  # no name server knows n1 and n2
        }

    def start(self) -> None:
        """Start munged, slurmctld and the nodes, and wait until they are idle."""
        for name in ("state", "spool"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        self.config.write_text(self._configuration())
        sacct = self.folder / "sacct"
        sacct.write_text(SACCT)
        sacct.chmod(0o700)
        self._start_munged()
        self.ask("slurmctld")
        for node in NODES:
            self.start_node(node)
        wait_until(lambda: self.node_states() == {node: "idle" for node in NODES}, 30, "the nodes are not idle")

    def _configuration(self) -> str:
        return CONFIG.format(
            folder=self.folder,
            host=socket.gethostname().partition(".")[0],
            user=self.ask("id", "-un").strip(),
            port=self.port,
            first_port=self.port + 1,
            last_port=self.port + 3,
            first_job=random.randrange(1000, 30_000),
            slurmd_timeout=10,
        )

    def _start_munged(self) -> None:
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o600)
        files = {"key-file": key, "socket": "munge.sock", "pid-file": "munged.pid"}
        files |= {"log-file": "munged.log", "seed-file": "munge.seed"}
        self.ask("munged", "--force", *(f"--{name}={self.folder / file}" for name, file in files.items()))

    def stop(self) -> None:
        """End all jobs and daemons."""
        with suppress(subprocess.CalledProcessError):
            self.ask("scancel", "-Q", f"--user={os.getuid()}")
            wait_until(lambda: not self.ask("squeue", "-h").strip(), 20, "jobs are still there")
        for name in (*NODES, "slurmctld", "munged"):
            self._kill(name, signal.SIGTERM)
            wait_until(lambda name=name: not (self.folder / f"{name}.pid").exists(), 20, f"{name} is still there")

    def start_node(self, node: str) -> None:
        """Start a node's slurmd."""
        self.ask("slurmd", "-N", node)

    def kill_slurmd(self, node: str) -> None:
        """Kill a node's slurmd alone: what it has started runs on, and nobody knows of it."""
        self._kill(node, signal.SIGKILL)

    def kill_node(self, node: str, job: str) -> None:
        """Kill a node's slurmd and all that it has started of a job, as when it loses power."""
        self.kill_slurmd(node)
        for process in _of_job(job, node):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    def node_states(self) -> dict[str, str]:
        """What sinfo says of each node."""
        return dict(line.split() for line in self.ask("sinfo", "-h", "-N", "-p", "debug", "-o", "%N %T").splitlines())

    def submit(self, command: str, *options: str, name: str = "job") -> str:
        """Queue a batch script of one command, and return the job's number."""
        script = self.folder / f"{name}.sh"
        script.write_text(f"#!/bin/bash\n{command}\n")
        output = f"--output={self.folder}/{name}-%j.out"
        options = ("--parsable", "--open-mode=append", output, f"--job-name={name}", *options)
        return self.ask("sbatch", *options, str(script)).strip()

    def output(self, job: str) -> str:
        """What a job has printed, all its starts together."""
        return "".join(path.read_text() for path in sorted(self.folder.glob(f"*-{job}.out")))

    def job(self, job: str) -> dict[str, str]:
        """What scontrol shows of a job."""
        return dict(re.findall(r"(\w+)=(\S*)", self.ask("scontrol", "show", "job", "-o", job)))

    def state(self, job: str) -> str:
        """Of a job, as RUNNING."""
        return self.job(job)["JobState"]

    def wait(self, job: str, *states: str, timeout: float = 120) -> str:
        """Wait until a job has one of these states, or has ended where none is given; return its state."""
        wanted = states or ENDED
        wait_until(lambda: self.state(job) in wanted, timeout, f"job {job} is not {' or '.join(wanted)}")
        return self.state(job)

    def ask(self, *words: str) -> str:
        """Run one of SLURM's programs, and return what it prints."""
        return subprocess.run(
            words, env=self.environment, check=True, stdout=subprocess.PIPE, text=True, timeout=60
        ).stdout

    def _kill(self, name: str, number: signal.Signals) -> None:
        path = self.folder / f"{name}.pid"
        with suppress(FileNotFoundError, ValueError, ProcessLookupError):
            os.kill(int(path.read_text()), number)
        with suppress(FileNotFoundError):
            if number == signal.SIGKILL:
                path.unlink()


def _of_job(job: str, node: str) -> list[int]:
    """The processes of a job on a node: slurmstepds first, which would tell of the death of what they have started."""
    keepers, tasks = [], []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if (entry / "cmdline").read_bytes().startswith(f"slurmstepd: [{job}.".encode()):
                children = _children(int(entry.name))
                if any(f"SLURMD_NODENAME={node}\0".encode() in _environment(each) for each in children):
                    keepers.append(int(entry.name))
                    tasks += children
    return [*keepers, *tasks]


def _environment(process: int) -> bytes:
    return Path(f"/proc/{process}/environ").read_bytes()


def _children(process: int) -> list[int]:
    """All processes under one."""
    own = [int(word) for word in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    return [*own, *(each for child in own for each in _children(child))]


def wait_until(holds: Callable[[], bool], seconds: float, otherwise: str) -> None:
    """Look ten times a second whether something holds.

    Raises:
        TimeoutError: it does not after so many seconds.
    """
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {seconds} s: {otherwise}")
        time.sleep(0.1)


def _path() -> str:
    """Daemons are in /usr/sbin, which not every user's PATH has."""
    return f"{os.environ['PATH']}:/usr/sbin:/sbin"
