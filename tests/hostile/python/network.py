# Ways out: addresses of the world, of the host, of clouds; names; other interfaces; the kernel's own tables changed.
import socket
import struct
import sys
from attempt import outcome, tell

ADDRESSES = ("192.0.2.1", "8.8.8.8", "10.0.0.1", "10.0.2.2", "169.254.169.254", "172.17.0.1", "192.168.0.1", "100.100.100.200",
             "224.0.0.1", "255.255.255.255")


def connect(family, address):
    with socket.socket(family, socket.SOCK_STREAM) as plug:
        plug.settimeout(2)
        return outcome(plug.connect, address)


def send(family, address):
    with socket.socket(family, socket.SOCK_DGRAM) as plug:
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        return outcome(plug.sendto, b"x", address)


tell("connect", sorted({connect(socket.AF_INET, (address, 80)) for address in ADDRESSES}))
tell("send", sorted({send(socket.AF_INET, (address, 53)) for address in ADDRESSES}))
IPV6 = ("2001:db8::1", "2606:4700:4700::1111", "fe80::1%1", "ff02::1%1", "fd00:ec2::254")
tell("IPv6", sorted({connect(socket.AF_INET6, socket.getaddrinfo(address, 80)[0][4]) for address in IPV6}
                    - {"ENETUNREACH", "EADDRNOTAVAIL", "EINVAL", "EHOSTUNREACH"}))
tell("the daemon", connect(socket.AF_INET, ("127.0.0.1", int(sys.argv[1]))))
tell("services of the host", sorted({connect(socket.AF_INET, ("127.0.0.1", port)) for port in (22, 25, 53, 111, 631, 2375, 5432)}))
try:
    socket.getaddrinfo("example.com", 80)
    tell("name", "resolved")
except socket.gaierror as error:
    tell("name", error.errno)
tell("interfaces", socket.if_nameindex())


def route(kind, body):
    """What the kernel says to a change by NETLINK_ROUTE (rtnetlink(7))."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as plug:
        plug.sendall(struct.pack("=IHHII", 16 + len(body), kind, 0x605, 1, 0) + body)
        return -struct.unpack_from("=i", plug.recv(4096), 16)[0]


tell("set lo down", route(16, struct.pack("=BBHiII", 0, 0, 0, 1, 0, 1)))
tell("new dummy link", route(16, struct.pack("=BBHiII", 0, 0, 0, 0, 0, 0) + struct.pack("=HHHH6s2x", 20, 18, 10, 1, b"dummy\0")))
tell("new address", route(20, struct.pack("=BBBBI", 2, 8, 0, 0, 1) + struct.pack("=HH4s", 8, 2, bytes([10, 9, 9, 9]))))
tell("new route", route(24, struct.pack("=BBBBBBBBI", 2, 0, 0, 0, 254, 3, 0, 1, 0) + struct.pack("=HHi", 8, 4, 1)))
