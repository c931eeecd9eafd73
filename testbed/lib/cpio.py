# SPDX-License-Identifier: GPL-2.0-or-later
"""A writer for the "newc" archives that Linux takes as initramfs.

The result depends on what is added and in which order, on nothing else: times
are zero, owners are root and inode numbers are counted.
"""

S_IFDIR, S_IFREG, S_IFLNK, S_IFCHR = 0o040000, 0o100000, 0o120000, 0o020000


class Archive:
    """Add members, then take the bytes from finish()."""

    def __init__(self):
        self._parts = []
        self._inode = 0

    def _add(self, name, mode, data=b"", rdev=(0, 0)):
        self._inode += 1
        encoded = name.encode() + b"\0"
        fields = (self._inode, mode, 0, 0, 1, 0, len(data), 0, 0,
                  rdev[0], rdev[1], len(encoded), 0)
        header = b"070701" + b"".join(b"%08x" % field for field in fields)
        self._parts.append(_padded(header + encoded))
        self._parts.append(_padded(data))

    def directory(self, name):
        """Add a directory; parents have to be added before."""
        self._add(name, S_IFDIR | 0o755)

    def data(self, name, data, mode=0o644):
        """Add a file with the given contents."""
        self._add(name, S_IFREG | mode, data)

    def file(self, name, path, mode=0o644):
        """Add a copy of a file."""
        with open(path, "rb") as file:
            self.data(name, file.read(), mode)

    def symlink(self, name, target):
        """Add a symbolic link."""
        self._add(name, S_IFLNK | 0o777, target.encode())

    def device(self, name, mode, major, minor):
        """Add a character device."""
        self._add(name, S_IFCHR | mode, rdev=(major, minor))

    def finish(self):
        """Return the archive.  Archives may follow one another in an initrd
        if each begins on a multiple of four bytes, as these do."""
        self._inode = -1
        self._add("TRAILER!!!", 0)
        return b"".join(self._parts)


def _padded(data):
    return data + b"\0" * (-len(data) % 4)
