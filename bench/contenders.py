"""What is measured side by side: nginx where there is one, the bare proxy, and the gateway."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bench.scenarios import FORMATS

KEY = "sk-bench-client-0123456789"
PROVIDER_KEY = "sk-bench-provider"
GATEWAY = "plexus"
BARE = "bare"
ROOT = Path(__file__).parent.parent


@dataclass
class Contender:
    """How to start one, and the names it knows the mock's models by."""

    name: str
    port: int
    command: list[str]
    alias: Callable[[str, str], str]
    """(provider's format, the mock's model) → the model a client asks for."""
    environment: dict[str, str] = field(default_factory=dict)


def contender(name: str, port: int, mock_port: int, folder: Path) -> Contender | None:
    """None if it is not installed here. `folder` is where it may write."""
    folder.mkdir(parents=True)
    return _MAKERS[name](port, f"127.0.0.1:{mock_port}", folder)


def _bare(port: int, mock: str, folder: Path) -> Contender:
    options = ["--port", str(port), "--upstream", f"http://{mock}", "--key", KEY]
    options += ["--upstream-key", PROVIDER_KEY, "--log", str(folder / "usage.jsonl")]
    command = [sys.executable, str(ROOT / "bench" / "bare.py"), *options]
    return Contender(BARE, port, command, lambda provider, model: model)


def _plexus(port: int, mock: str, folder: Path) -> Contender:
    """With keys and usage rows on, as it is run."""
    config = folder / "plexus.yaml"
    config.write_text(_CONFIG.replace("@MOCK@", mock))
    command = [str(Path(sys.executable).parent / "plexus-proxy"), "serve"]
    command += ["--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    environment = {"DATA_DIR": str(folder / "data"), "LOG_LEVEL": "info"}
    return Contender(
        GATEWAY, port, command, lambda provider, model: f"{provider}-{model}", environment
    )


def _nginx(port: int, mock: str, folder: Path) -> Contender | None:
    program = shutil.which("nginx")
    if program is None:
        return None
    config = folder / "nginx.conf"
    text = _NGINX.replace("@FOLDER@", str(folder)).replace("@PORT@", str(port))
    config.write_text(text.replace("@MOCK@", mock))
    command = [program, "-p", str(folder), "-c", str(config), "-e", str(folder / "error.log")]
    return Contender("nginx", port, command, lambda provider, model: model)


_MAKERS = {"nginx": _nginx, BARE: _bare, GATEWAY: _plexus}
NAMES = tuple(_MAKERS)


def version(name: str) -> str:
    """For the report."""
    if name == "nginx":
        said = subprocess.run(["nginx", "-v"], capture_output=True, text=True, check=False)
        return said.stderr.strip().removeprefix("nginx version: ")
    import aiohttp
    import uvloop

    return f"Python {sys.version.split()[0]}, aiohttp {aiohttp.__version__}, uvloop " + str(
        uvloop.__version__
    )


_MODELS = ("mock-200x0", "mock-200x20", "mock-20x5")
_CONFIG = (
    "adminKey: sk-bench-admin-0123456789\nproviders:\n"
    + "".join(
        f"  {kind}:\n    api_base_url: {{{kind}: http://@MOCK@/v1}}\n    api_key: {PROVIDER_KEY}\n"
        "    models:\n"
        + "".join(
            f"      {model}: {{pricing: {{source: simple, input: 1, output: 2}}}}\n"
            for model in _MODELS
        )
        for kind in FORMATS
    )
    + "models:\n"
    + "".join(
        f"  {kind}-{model}: {{targets: [{{provider: {kind}, model: {model}}}]}}\n"
        for kind in FORMATS
        for model in _MODELS
    )
    + f"keys:\n  bench: {{secret: {KEY}}}\n"
)
_NGINX = f"""
daemon off; master_process off; worker_rlimit_nofile 20000; pid @FOLDER@/nginx.pid;
events {{ worker_connections 16000; }}
http {{
  log_format usage escape=json '{{"path":"$uri","status":$status,"bytes":$bytes_sent}}';
  access_log @FOLDER@/access.log usage buffer=64k flush=1s;
  client_max_body_size 64m; client_body_buffer_size 1m;
  client_body_temp_path @FOLDER@/b; proxy_temp_path @FOLDER@/p; fastcgi_temp_path @FOLDER@/f;
  uwsgi_temp_path @FOLDER@/u; scgi_temp_path @FOLDER@/s;
  keepalive_timeout 75s; keepalive_requests 10000000; tcp_nodelay on;
  map $http_authorization $bearer {{ default 0; "Bearer {KEY}" 1; }}
  map $http_x_api_key $api_key {{ default 0; "{KEY}" 1; }}
  upstream mock {{ server @MOCK@; keepalive 512; keepalive_requests 10000000; }}
  server {{
    listen 127.0.0.1:@PORT@ backlog=4096;
    location = /health {{ access_log off; return 200 "OK"; }}
    location / {{ return 404 '{{"error":{{"message":"not found"}}}}'; }}
    location ~ ^/(v1/(chat/completions|messages|responses)|v1beta/models/[^/]+)$ {{
      set $known "$bearer$api_key";
      if ($known = "00") {{ return 401 '{{"error":{{"message":"invalid key"}}}}'; }}
      proxy_pass http://mock; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Authorization "Bearer {PROVIDER_KEY}";
      proxy_set_header x-api-key "{PROVIDER_KEY}";
      proxy_buffering off; proxy_request_buffering on; proxy_read_timeout 300s;
    }}
  }}
}}
"""
