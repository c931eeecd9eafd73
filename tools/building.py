# SPDX-License-Identifier: GPL-2.0-or-later
"""How QEMU is configured and built from a tree."""

import json
import os
import shlex
import shutil
from pathlib import Path

import scratch
from common import (Failure, ROOT, cache_dir, need_space, python_modules, remove,
                    run_long)

FEATURES = """
    --target-list=x86_64-softmmu,aarch64-softmmu --python=/usr/bin/python3
    --without-default-features --enable-kvm --enable-tcg --enable-pixman
    --enable-fdt=system --disable-install-blobs --disable-docs --disable-werror
    """.split()

# Which devices are built: QEMU looks for the file in its own tree.
DEVICES = {"aarch64": "viommu-aarch64"}
ASAN_DEVICES = {"x86_64": "viommu-asan", "aarch64": "viommu-asan-aarch64"}

# Without debug information, which costs a sixth of the compiler's time
PRODUCT = ["--enable-slirp", "--enable-vhost-kernel", "--enable-vhost-net",
           "--disable-debug-info"]

# Only what the tests that run under it need, with one optimization level.
ASAN = ["--enable-asan", "--enable-ubsan", "-Doptimization=1", "--disable-debug-info",
        "--extra-cflags=-g1", "--without-default-devices"]

# Only clang has libFuzzer, and qtests preload what clang's ASan does not allow in shells:
# a build of its own, of little else than the fuzzer. Without TCG there would be no Arm
# machine.
FUZZ_DEVICES = {"x86_64": "viommu-fuzz", "aarch64": "viommu-fuzz-aarch64"}
FUZZ = [*ASAN, "--enable-fuzzing", "--cxx=clang++"]

# For make bench-guest, whose L0 counts instructions; plugins make the rest of QEMU slower
PLUGINS = ["--enable-plugins", "--disable-debug-info"]

HOST_CHECK = "contrib/viommu-host-check/viommu-host-check"
TARGETS = ["qemu-system-x86_64", "qemu-system-aarch64", HOST_CHECK]


# What can be built of a tree: suffix of the directory, name, options, lists of devices
VARIANTS = {"": ("QEMU", PRODUCT, DEVICES),
            "asan": ("QEMU with ASan", ASAN, ASAN_DEVICES),
            "fuzz": ("the fuzzer", FUZZ, FUZZ_DEVICES),
            "plugins": ("QEMU with plugins", PLUGINS, DEVICES)}


def build(tree, version, targets, variant=""):
    """Build targets of the tree; returns the build directory.

    It is inside the tree (QEMU's own place for it), so that ccache takes the
    objects of one tree for another; build/qemu leads to that of build/tree.
    """
    what = VARIANTS[variant][0]
    where = tree / f"build{variant and '-'}{variant}"
    env = environment(tree, "clang" if variant == "fuzz" else "gcc")
    configure(where, what, tree, version, features(tree, variant), env)
    link_firmware(where)
    run_long(f"build {what}", ["ninja", "-C", where, *targets],
             where / "build.log", env=env)
    if tree == ROOT / "build/tree":
        name = ROOT / where.name.replace("build", "build/qemu")
        if not name.is_symlink():
            name.symlink_to(where.relative_to(name.parent))
    return where


def features(tree, variant=""):
    """What configure is asked for; gives the tree the lists of devices."""
    _, options, devices = VARIANTS[variant]
    options = list(options)
    for target, name in devices.items():
        link = tree / f"configs/devices/{target}-softmmu/{name}.mak"
        if not link.exists():
            link.unlink(missing_ok=True)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(ROOT / f"tools/{name}.mak")
        options.append(f"--with-devices-{target}={name}")
    return options


def link_firmware(where):
    """A QEMU run from its build directory looks for every path below qemu-bundle."""
    firmware = cache_dir() / "firmware"
    link = where / "qemu-bundle" / firmware.relative_to("/")
    if not link.is_symlink():
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(firmware)


def environment(tree, compiler="gcc"):
    env = dict(os.environ)
    path = env.get("PYTHONPATH")
    env["PYTHONPATH"] = f"{python_modules()}:{path}" if path else str(python_modules())
    if "CC" not in env or compiler == "clang":
        env["CC"] = f"ccache {compiler}" if shutil.which("ccache") else compiler
        # Objects of equal trees are shared, wherever the trees are; and what is
        # not in the cache is not preprocessed twice, which takes a third more time.
        env.update(CCACHE_NOHASHDIR="1", CCACHE_BASEDIR=str(tree), CCACHE_DEPEND="1")
    return env


def configure(where, what, tree, version, features, env):
    """Run configure unless the directory is configured just so."""
    for tool in ("ninja", "gcc", "pkg-config"):
        if not shutil.which(tool):
            raise Failure(f"{tool} is missing (tools/deps installs it)")
    features = features + [f"--firmwarepath={cache_dir() / 'firmware'}",
                           *shlex.split(env.get("CONFIGURE_ARGS", ""))]
    wanted = {"version": version, "cc": env["CC"],
              "arguments": FEATURES + features, "done": True}
    record = where / "viommu-configured.json"
    found = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
    if where.is_dir() and any(where.iterdir()) and not found:
        raise Failure(f"{scratch.shown(where)} is in use and no build of this "
                      "project: remove it")
    if found and found.get("version") != version:
        raise Failure(f"{scratch.shown(where)} is a build of QEMU {found['version']}, "
                      f"not {version}: make clean")
    if found == wanted and (where / "build.ninja").is_file():
        return
    need_space(tree, 1500, f"building {what}")
    remove(where)
    where.mkdir(parents=True)
    record.write_text(json.dumps(wanted | {"done": False}), encoding="utf-8")
    run_long(f"configure {what}", [Path(tree) / "configure", *FEATURES, *features],
             where / "configure.log", cwd=where, env=env)
    # In a git tree configure puts this into a file that meson reads again each
    # time it regenerates, and then it overrides --disable-werror: the flags
    # change, and everything is built once more.
    for name in ("config-meson.cross", "config-meson.native"):
        file = where / name
        if file.is_file():
            text, before = file.read_text(encoding="utf-8"), file.stat()
            file.write_text(text.replace("werror = true", "werror = false"), encoding="utf-8")
            # An older time, or the first build would begin by regenerating
            os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    record.write_text(json.dumps(wanted), encoding="utf-8")

