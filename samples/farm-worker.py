#!/usr/bin/env python3
"""A worker for farms whose machines run no JobHub.Worker: Python 3 alone, Linux, macOS and Windows.

    farm-worker.py [--name HOST] [--sleep SECONDS] HUB_URL

It asks the hub for a job (POST /workers/pickjob), runs it by the shell, sends what it prints with each
heartbeat, kills it when the hub says so, and reports its exit code. It outlives the hub: while that is
away it keeps the job running and its output.
"""
import argparse
import ast
import base64
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

WINDOWS = os.name == "nt"
MOST_AT_ONCE = 16 << 20     # bytes of output in one heartbeat; the hub takes 48 MiB
MOST_HELD = 256 << 20       # bytes kept while the hub is away; what is printed beyond waits in the pipe


class Hub:
    def __init__(self, url, name):
        self.url, self.name = url.rstrip("/"), name
        self.open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open

    def call(self, route, **fields):
        """The answer as text; OSError when the hub cannot be reached or is in trouble."""
        form = urllib.parse.urlencode({"hostname": self.name, **fields}).encode()
        with self.open(urllib.request.Request(f"{self.url}/workers/{route}", form), timeout=60) as answer:
            return answer.read().decode("ascii")

    def insist(self, route, wait, **fields):
        while True:
            try:
                return self.call(route, **fields)
            except urllib.error.HTTPError as fault:
                if fault.code < 500:
                    raise
                say(f"the hub answers {fault.code}; again in {wait} s")
            except OSError as fault:
                say(f"no hub ({fault}); again in {wait} s")
            time.sleep(wait)


def say(text):
    print(time.strftime("%H:%M:%S"), text, flush=True)


def machine():
    """What each call tells of this machine: load in percent, memory in MiB."""
    load, free, total = 0, 0, 0
    try:
        load = round(100 * os.getloadavg()[0] / (os.cpu_count() or 1))
    except (AttributeError, OSError):
        pass
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            sizes = {line.split(":")[0]: int(line.split()[1]) >> 10 for line in lines}
        free, total = sizes["MemAvailable"], sizes["MemTotal"]
    except (OSError, KeyError, ValueError):
        pass
    return {"load": f"[{min(load, 100)}]", "free_memory": free, "total_memory": total}


def text_of(literal):
    """A byte string of the hub's Python 2 tuple, which Python 3 reads as characters 0 to 255."""
    return literal.encode("latin-1").decode("utf-8", "surrogateescape")


def fill(text, values):
    """Replaces $(NAME); what names nothing stays: to the shell it may be a command."""
    return re.sub(r"\$\((\w+)\)", lambda m: values.get(m.group(1), m.group(0)), text, flags=re.ASCII)


class Job:
    """One running command: a process group of its own, and what it has printed and not yet been sent."""

    def __init__(self, command, folder, pairs):
        environment = dict(os.environ)
        environment.update(pair.split("=", 1) for pair in pairs.split("\\n") if "=" in pair)
        self.output, self.room, self.process, self.code = bytearray(), threading.Condition(), None, None
        try:
            own = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP} if WINDOWS else {"start_new_session": True}
            self.process = subprocess.Popen(fill(command, environment), shell=True, cwd=fill(folder, environment) or None, env=environment,
                                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **own)
        except (OSError, ValueError) as fault:
            self.output += f"cannot start: {fault}\n".encode("utf-8", "replace")
            self.code = 127
            return
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        while True:
            piece = self.process.stdout.read1(1 << 16)
            if not piece:
                return
            with self.room:
                self.room.wait_for(lambda: len(self.output) < MOST_HELD)
                self.output += piece

    def take(self):
        with self.room:
            return bytes(self.output[:MOST_AT_ONCE])

    def sent(self, count):
        with self.room:
            del self.output[:count]
            self.room.notify_all()

    def ended(self, within):
        """Whether the command is over, waiting so long for it."""
        if self.code is None:
            try:
                self.code = self.process.wait(within)
            except subprocess.TimeoutExpired:
                return False
            # Children it left behind may hold its pipe open for ever; they are ended, as the job is.
            self.kill()
            self.reader.join(5)
        return True

    def kill(self):
        if self.process is None:
            return
        try:
            if WINDOWS:
                subprocess.run(["taskkill", "/F", "/T", "/PID", str(self.process.pid)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
            else:
                os.killpg(self.process.pid, signal.SIGKILL)
        except (OSError, ProcessLookupError):
            pass


def beat(hub, number, job):
    """Sends what was printed. False: the job is to be killed. While the hub is away nothing is known, and the job goes on."""
    piece = job.take()
    try:
        answer = hub.call("heartbeat", jobId=number, log=base64.b64encode(piece).decode(), **machine())
    except OSError as fault:
        say(f"no heartbeat: {fault}")
        return None
    job.sent(len(piece))
    return answer != "false"


def run(hub, sleep, picked):
    number, command, folder, user, pairs = picked[0], *map(text_of, picked[1:4]), text_of(picked[4] or "")
    say(f"job {number}: {command}" + (f" (of {user})" if user else ""))
    job = Job(command, folder, pairs)
    try:
        while not job.ended(sleep):
            if beat(hub, number, job) is False:
                say(f"job {number} is not ours any more: killed")
                return
        while job.output:
            answer = beat(hub, number, job)
            if answer is False:
                return
            if answer is None:
                time.sleep(sleep)
    finally:
        job.kill()
    say(f"job {number} ended with {job.code}")
    hub.insist("endjob", sleep, jobId=number, errorCode=job.code)


def main():
    arguments = argparse.ArgumentParser(description="Runs jobs of a JobHub farm.")
    arguments.add_argument("url", help="the hub, as http://hub:4750")
    arguments.add_argument("-n", "--name", default=socket.gethostname(), help="the worker's name (default: %(default)s)")
    arguments.add_argument("-s", "--sleep", type=float, default=2, help="seconds between heartbeats, and between questions for work (default: %(default)s)")
    options = arguments.parse_args()
    hub = Hub(options.url, options.name)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    while True:
        picked = ast.literal_eval(hub.insist("pickjob", options.sleep, **machine()))
        if picked[0] == -1:
            time.sleep(options.sleep)
        else:
            run(hub, options.sleep, picked)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
    except urllib.error.HTTPError as fault:
        sys.exit(f"The hub refuses this worker: {fault.code} {fault.read().decode('utf-8', 'replace')}")
