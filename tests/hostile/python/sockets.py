# Sockets of every family, type and protocol: which can be made.
import socket
from attempt import call, tell

made = []
for family in range(48):
    for kind in range(1, 11):
        for protocol in (0, 1, 2, 3, 6, 9, 12, 15, 17, 33, 58, 132, 136, 255, 262, 0x300):
            result = call(41, family, kind, protocol)
            if isinstance(result, int):
                made.append((family, kind, protocol))
                socket.close(result)
            elif result not in ("EPERM", "EINVAL", "ESOCKTNOSUPPORT", "EPROTONOSUPPORT"):
                tell("strange", (family, kind, protocol, result))
# unix; TCP and UDP of IPv4 and IPv6; routes by netlink.
known = [(1, kind, protocol) for kind in (1, 2, 3, 5) for protocol in (0, 1)]
known += [(family, kind, protocol) for family in (2, 10) for kind, own in ((1, 6), (2, 17)) for protocol in (0, own)]
known += [(16, kind, 0) for kind in (2, 3)]
tell("made beside the known", sorted(set(made) - set(known)))
tell("known", len(set(made) & set(known)) >= 14)
tell("with a high bit", call(41, 16 | 1 << 33, 3 | 1 << 33, 12))
tell("pairs", sorted({call(53, family, 1, 0, b"\0" * 8) for family in range(2, 48)}))
plug = socket.socket()
tell("TCP_ULP", call(54, plug.fileno(), 6, 31, b"tls\0", 4))
for name, level, option in (("raw header", 0, 3), ("device", 1, 25), ("mark", 1, 36), ("force", 1, 32), ("transparent", 0, 19)):
    tell(name, call(54, plug.fileno(), level, option, b"\x01\0\0\0" if name != "device" else b"eth0", 4))
