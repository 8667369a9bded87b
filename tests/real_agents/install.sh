#!/usr/bin/env bash
# Installs the agents that npm and PyPI carry into FOLDER, for `uv run pytest -m real_agents` (CONTRIBUTING.md).
# About 4 GB, so the folder stands outside of the project. Needs npm and uv; Node comes along, since npm gives releases
# that are months old, and says nothing, where its Node is too old for the newest. Run again to update.
set -euo pipefail

[ $# -eq 1 ] || { echo "usage: $0 FOLDER" >&2; exit 2; }
mkdir -p "$1"
cd "$1"
export OPENCODE_DISABLE_AUTOUPDATE=1 DISABLE_AUTOUPDATER=1

packages() {  # FOLDER PACKAGE…
  mkdir -p "$1"
  [ -f "$1/package.json" ] || echo '{"private": true}' > "$1/package.json"
  (cd "$1" && shift && npm install --no-fund --no-audit "$@")
}

packages node node@22
PATH="$PWD/node/node_modules/.bin:$PATH"
packages new @anthropic-ai/claude-code @openai/codex @google/gemini-cli opencode-ai @github/copilot \
  @agentclientprotocol/claude-agent-acp @agentclientprotocol/codex-acp @modelcontextprotocol/inspector
# The releases before sessions kept their system prompt and reported their total cost.
packages old @anthropic-ai/claude-code@2.1.197 @agentclientprotocol/claude-agent-acp@0.49.0

uv venv --quiet --allow-existing python
uv pip install --quiet --python python/bin/python llm

rm -rf bin old-bin
mkdir bin old-bin
ln -s ../node/node_modules/.bin/node bin/node
for name in claude codex gemini opencode copilot claude-agent-acp codex-acp mcp-inspector; do
  ln -s "../new/node_modules/.bin/$name" "bin/$name"
done
ln -s ../python/bin/llm bin/llm
for name in claude claude-agent-acp; do ln -s "../old/node_modules/.bin/$name" "old-bin/$name"; done

for name in bin/claude old-bin/claude bin/codex bin/gemini bin/opencode bin/copilot; do
  echo "$name $(PATH="$PWD/bin:$PATH" "./$name" --version 2>/dev/null | tail -n 1)"
done
