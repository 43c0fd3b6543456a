"""An internet: every address that the tests ask for, in a network namespace of its own.

HTTP on 80, 8080 and 5432 of all addresses, which tells who asked and sends or takes as many bytes as are wished; a name server;
a mail server; and a UDP port that tells who spoke. Prints "ready" once all of it listens, and each line of UDP that came.
"""
import ctypes, http.server, os, socket, struct, subprocess, sys, threading

ADDRESSES = sys.argv[1:]
NAMES = {"web.example": ("198.51.100.10", "2001:db8:2::10")}


def run(*words):
    subprocess.run(words, check=True)


def plain(address):
    """An IPv4 address as itself, whatever socket it came over."""
    return address.removeprefix("::ffff:").encode()


class Pages(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"

    def do_GET(self):
        count = int(self.path.partition("?")[2] or 0)
        body = b"x" * count or plain(self.client_address[0])
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        left = int(self.headers["Content-Length"])
        while left > 0:
            left -= len(self.rfile.read(min(left, 65536)))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *words):
        pass


class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
    request_queue_size = 512


def answer(question):
    """What RFC 1035 wants, for one question without compression."""
    end, labels = 12, []
    while question[end]:
        labels.append(question[end + 1:end + 1 + question[end]].decode())
        end += 1 + question[end]
    kind = struct.unpack("!H", question[end + 1:end + 3])[0]
    found = NAMES.get(".".join(labels))
    data = b""
    if found and kind == 1:
        data = socket.inet_aton(found[0])
    if found and kind == 28:
        data = socket.inet_pton(socket.AF_INET6, found[1])
    head = question[:2] + struct.pack("!HHHHH", 0x8180 if found else 0x8183, 1, 1 if data else 0, 0, 0)
    record = struct.pack("!HHHIH", 0xC00C, kind, 1, 60, len(data)) + data if data else b""
    return head + question[12:end + 5] + record


def datagrams(port, act):
    plug = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    plug.bind(("::", port))
    # Answers come from the address that was asked.
    plug.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)

    def serve():
        while True:
            data, notes, _, who = plug.recvmsg(4096, 256)
            reply = act(data, who)
            if reply is not None:
                plug.sendmsg([reply], [(l, t, d) for l, t, d in notes if t == socket.IPV6_PKTINFO], 0, who)
    threading.Thread(target=serve, daemon=True).start()


def heard(data, who):
    print("udp", who[0], data.decode(), flush=True)
    return plain(who[0])


def listen(port, act):
    listener = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=512)

    def serve():
        while True:
            act(listener.accept()[0])
    threading.Thread(target=serve, daemon=True).start()


def names_over_tcp(plug):
    length = struct.unpack("!H", plug.recv(2))[0]
    reply = answer(plug.recv(length))
    plug.sendall(struct.pack("!H", len(reply)) + reply)
    plug.close()


def mail(plug):
    plug.sendall(b"220 mail\r\n")
    plug.close()


if ctypes.CDLL(None, use_errno=True).unshare(0x40000000):
    raise OSError(ctypes.get_errno(), "unshare")
print("unshared", flush=True)
sys.stdin.readline()
run("ip", "link", "set", "lo", "up")
run("ip", "addr", "add", "203.0.113.2/24", "dev", "net0")
run("ip", "addr", "add", "2001:db8:1::2/64", "dev", "net0", "nodad")
run("ip", "link", "set", "net0", "up")
for address in ADDRESSES:
    run("ip", "addr", "add", address, "dev", "lo", *(["nodad"] if ":" in address else []))
for port in (80, 8080, 5432):
    server = Server(("::", port), Pages)
    threading.Thread(target=server.serve_forever, daemon=True).start()
datagrams(53, lambda data, who: answer(data))
datagrams(9, heard)
listen(53, names_over_tcp)
for port in (25, 465, 587):
    listen(port, mail)
print("ready", flush=True)
sys.stdin.read()
