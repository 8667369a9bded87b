#!/usr/bin/env bash
# Installs the agents that npm and PyPI carry into FOLDER, for `uv run pytest -m real_agents` (CONTRIBUTING.md).
# About 2 GB, so the folder stands outside of the project. Needs npm (Node 20 or newer) and uv. Run again to update.
set -euo pipefail

[ $# -eq 1 ] || { echo "usage: $0 FOLDER" >&2; exit 2; }
mkdir -p "$1"
cd "$1"

export OPENCODE_DISABLE_AUTOUPDATE=1 DISABLE_AUTOUPDATER=1
[ -f package.json ] || echo '{"private": true}' > package.json
npm install --no-fund --no-audit \
  @anthropic-ai/claude-code @openai/codex @google/gemini-cli opencode-ai \
  @agentclientprotocol/claude-agent-acp @agentclientprotocol/codex-acp

uv venv --quiet --allow-existing python
uv pip install --quiet --python python/bin/python llm

mkdir -p bin
for name in claude codex gemini opencode claude-agent-acp codex-acp; do
  ln -sf "../node_modules/.bin/$name" "bin/$name"
done
ln -sf ../python/bin/llm bin/llm
# The ACP presets start `npx -y PACKAGE`: this stands in for it, so that what is installed here is used and nothing fetched.
cat > bin/npx <<'NPX'
#!/bin/sh
[ "$1" = "-y" ] && shift
program="${1##*/}"
shift
exec "$(dirname "$0")/$program" "$@"
NPX
chmod +x bin/npx
ls bin
