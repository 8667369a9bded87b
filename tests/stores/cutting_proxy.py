"""A proxy before a PostgreSQL server that cuts the connection at a chosen message: before it reaches the server, or
after the server has carried it out and before its answer reaches the client."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Any

from postgres_server import url_of
from psycopg.conninfo import conninfo_to_dict


class CuttingProxy:
    """Set `cut_at` to the number of a message from the client, counted from the moment of setting; -1 cuts nothing."""

    def __init__(self, url: str) -> None:
        self._settings = conninfo_to_dict(url)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._left = -1
        self._after = False
        self.refusing = False
        self.cuts = 0
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        port = self._listener.getsockname()[1]
        own = {"host": "127.0.0.1", "port": port, "sslmode": "disable", "gssencmode": "disable"}
        return url_of({**self._settings, **own})

    def cut_at(self, message: int, *, after: bool = False) -> None:
        with self._lock:
            self._left, self._after, self.cuts = message, after, 0

    def cut_all(self) -> None:
        with self._lock:
            for connection in self._open:
                _end(connection)
            self._open.clear()

    def close(self) -> None:
        _end(self._listener)
        self.cut_all()

    def _accept(self) -> None:
        while True:
            try:
                client, _address = self._listener.accept()
            except OSError:
                return
            if self.refusing:
                _end(client)
                continue
            server = self._connect()
            with self._lock:
                self._open += [client, server]
            dropping = threading.Event()
            threading.Thread(target=self._to_server, args=(client, server, dropping), daemon=True).start()
            threading.Thread(target=self._to_client, args=(server, client, dropping), daemon=True).start()

    def _connect(self) -> socket.socket:
        named: dict[str, Any] = self._settings
        host, port = str(named.get("host") or "localhost"), int(named.get("port") or 5432)
        if host.startswith("/"):
            server = socket.socket(socket.AF_UNIX)
            server.connect(f"{host}/.s.PGSQL.{port}")
            return server
        return socket.create_connection((host, port))

    def _to_server(self, client: socket.socket, server: socket.socket, dropping: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(1 << 20):
                with self._lock:
                    self._left -= 1
                    cut = self._left == 0
                    self.cuts += cut
                if cut and not self._after:
                    break
                if cut:
                    dropping.set()
                server.sendall(data)
        if not dropping.is_set():
            _end(client)
            _end(server)

    def _to_client(self, server: socket.socket, client: socket.socket, dropping: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(1 << 20):
                if dropping.is_set():
                    break
                client.sendall(data)
        _end(client)
        _end(server)


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
