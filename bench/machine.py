# SPDX-License-Identifier: GPL-2.0-or-later
"""A QEMU on fakehost, driven over the qtest and QMP protocols.

Only public interfaces of QEMU are used, so that any binary will do.
"""
import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import fakehost

RAM_MB = 64
START_SECONDS = 120             # without valgrind
ANSWER_SECONDS = 300
SLOWER = 6                      # what valgrind may stretch these by


class Unusable(Exception):
    """This QEMU cannot be measured."""


class QueueError(Exception):
    """The vIOMMU has not done what was asked through its queue."""


def device_arguments(places, files):
    args = ["-object", f"iommufd,id=iommufd0,fd={files['iommufd0']}"]
    for number, place in enumerate(places):
        # Without an id some versions crash on fd=
        args += ["-device", f"vfio-pci,id=dev{number},fd={files[f'dev{number}']},"
                            f"iommufd=iommufd0,{place}"]
    return args


class Machine:
    """One running QEMU; use it in a with statement.

    It has the arguments and, for each element of places, a device with those
    properties; host is fakehost's description.
    """

    def __init__(self, binary, library, arguments, places, host, wrapper=(), log=False):
        self.patience = SLOWER if wrapper else 1
        self.dir = tempfile.mkdtemp(prefix="bench-")
        self.process = None
        self.sockets = []
        self.interrupts = 0         # since watch_interrupts()
        self.events = self.path("events")   # where fakehost's event queues are
        os.mkdir(self.events)
        try:
            self.page = fakehost.Page(self.path("control"))
            self.start(binary, library, arguments, places, host, wrapper, log)
        except BaseException:
            self.stop()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def path(self, name):
        return os.path.join(self.dir, name)

    # --- start and stop ---

    def start(self, binary, library, arguments, places, host, wrapper, log):
        with open(self.path("host"), "w", encoding="utf-8") as file:
            file.write(host)
        with open(self.path("bios"), "wb") as file:
            file.truncate(64 * 1024)
        listeners = [self.listen(name) for name in ("qtest", "qmp")]
        files = {name: os.memfd_create(f"fakehost:{name}", 0)
                 for name in ["iommufd0", *[f"dev{number}" for number in range(len(places))]]}
        try:
            self.spawn([*wrapper, binary, *self.common_arguments(), *arguments,
                        *device_arguments(places, files)], library, files, log)
        finally:
            for fd in files.values():
                os.close(fd)
        for listener in listeners:
            self.sockets.append(self.accept(listener))
        self.qtest, self.qmp = [sock.makefile("rwb") for sock in self.sockets]
        self.line(self.qmp, "start")
        self.qmp_command("qmp_capabilities")
        if not self.page.ready():
            raise Unusable("the fakehost library was not loaded into it")

    def common_arguments(self):
        return ["-accel", "qtest", "-display", "none", "-nodefaults",
                "-bios", self.path("bios"),
                "-qtest", f"unix:{self.path('qtest')}", "-qtest-log", "none",
                "-chardev", f"socket,path={self.path('qmp')},id=qmp",
                "-mon", "chardev=qmp,mode=control"]

    def spawn(self, command, library, files, log):
        for fd in files.values():
            os.set_inheritable(fd, True)
        env = dict(os.environ, LD_PRELOAD=str(library), FAKEHOST_MODE="fake",
                   FAKEHOST_HOST=self.path("host"), FAKEHOST_CONTROL=self.path("control"),
                   FAKEHOST_EVENTS=self.events,
                   ASAN_OPTIONS="detect_leaks=0:verify_asan_link_order=0")
        for name in ("FAKEHOST_LOG", "FAKEHOST_FAIL", "FAKEHOST_SWALLOW"):
            env.pop(name, None)
        if log:
            env["FAKEHOST_LOG"] = self.path("log")
        with open(self.path("err"), "wb") as err:
            self.process = subprocess.Popen(
                command, env=env, cwd=self.dir, stdin=subprocess.DEVNULL, stdout=err,
                stderr=err, pass_fds=list(files.values()))

    def listen(self, name):
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(self.path(name))
        sock.listen(1)
        sock.settimeout(0.2)
        return sock

    def accept(self, listener):
        deadline = time.monotonic() + START_SECONDS * self.patience
        while time.monotonic() < deadline:
            try:
                sock = listener.accept()[0]
                sock.settimeout(ANSWER_SECONDS * self.patience)
                listener.close()
                return sock
            except socket.timeout:
                if self.process.poll() is not None:
                    raise Unusable(f"it ended at start: {self.last_words()}") from None
        raise Unusable("it did not start in time")

    def stop(self):
        if self.process:
            if self.process.poll() is None:
                self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(START_SECONDS * self.patience)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for sock in self.sockets:
            sock.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    def log(self):
        """What fakehost has logged; it was asked for at start."""
        with open(self.path("log"), encoding="utf-8") as file:
            return file.read()

    def last_words(self):
        with open(self.path("err"), encoding="utf-8", errors="replace") as file:
            lines = [line.strip() for line in file if line.strip()
                     and not line.startswith("==")]
        return lines[-1] if lines else f"no message, status {self.process.poll()}"

    # --- protocols ---

    def line(self, file, what):
        try:
            data = file.readline()
        except socket.timeout:
            raise Unusable(f"no answer to {what} in time") from None
        except ConnectionError:
            data = b""
        if not data:
            raise Unusable(f"it ended at {what}: {self.last_words()}")
        return data

    def send(self, file, data, what):
        try:
            file.write(data + b"\n")
            file.flush()
        except ConnectionError:
            raise Unusable(f"it ended at {what}: {self.last_words()}") from None

    def qmp_answer(self, name, **arguments):
        self.send(self.qmp, json.dumps({"execute": name, "arguments": arguments}).encode(), name)
        while True:
            answer = json.loads(self.line(self.qmp, name))
            if "return" in answer or "error" in answer:
                return answer

    def qmp_command(self, name):
        answer = self.qmp_answer(name)
        if "error" in answer:
            raise Unusable(f"{name}: {answer['error']['desc']}")
        return answer["return"]

    def heap(self):
        """Bytes of heap in use at rest, 0 where the library cannot tell."""
        # An error of device_add waits for QEMU's RCU thread, which frees what others left to
        # it; what that refers to has its turn with the next one
        for _ in range(3):
            self.qmp_answer("device_add", driver="none-such")
        self.page.control.heap_wanted |= fakehost.HEAP_AT_REST
        deadline = time.monotonic() + ANSWER_SECONDS
        while self.page.control.heap_wanted & fakehost.HEAP_AT_REST:
            if time.monotonic() > deadline:
                raise Unusable("it does not come to rest")
            self.qmp_command("query-status")
        return self.page.control.heap

    def qtest_command(self, command):
        self.send(self.qtest, command.encode(), command[:40])
        answer = self.line(self.qtest, command[:40]).split()
        while answer[:1] == [b"IRQ"]:
            self.interrupts += answer[1] == b"raise"
            answer = self.line(self.qtest, command[:40]).split()
        if answer[:1] != [b"OK"]:
            raise Unusable(f"{command[:40]}: {b' '.join(answer).decode()}")
        return answer[1:]

    def watch_interrupts(self, path):
        """Count the interrupts that a device raises; they no longer reach anything."""
        self.qtest_command(f"irq_intercept_out {path} sysbus-irq")
        self.interrupts = 0

    def read(self, address, size):
        name = {4: "readl", 8: "readq"}[size]
        return int(self.qtest_command(f"{name} {address:#x}")[0], 16)

    def write(self, address, size, value):
        name = {4: "writel", 8: "writeq"}[size]
        self.qtest_command(f"{name} {address:#x} {value:#x}")

    def write_memory(self, address, data):
        text = base64.b64encode(data).decode()
        self.qtest_command(f"b64write {address:#x} {len(data):#x} {text}")
