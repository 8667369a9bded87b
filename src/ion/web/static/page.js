// What a page does besides being read: it follows its event stream and takes over what is new, counts durations on,
// keeps logs at their end, and offers commands for copying. Without this script a reload does the first, and the rest is
// only comfort.
"use strict";

const LEAST_MS = 250; // between two refreshes; more where the server needs longer
const GONE = "Not connected: ion serve has ended, or its address is another one now.";
const offline = document.getElementById("offline");
let source = null;
let busy = false;
let again = false;
let earliest = 0;

// ---------------------------------------------------------------- news

function listen() {
  const { stream, version } = document.body.dataset;
  if (!stream || document.hidden || source) return;
  source = new EventSource(`${stream}?since=${encodeURIComponent(version || "")}`);
  source.addEventListener("open", () => say(""));
  source.addEventListener("change", refresh);
  source.addEventListener("error", () => {
    if (!document.hidden) say(GONE);
    if (source && source.readyState === EventSource.CLOSED) silence();
  });
}

// A page that nobody sees costs nothing, and holds none of the few connections that a browser opens to a server.
function silence() {
  if (source) source.close();
  source = null;
}

function say(text) {
  if (offline.textContent !== text) offline.textContent = text;
}

function refresh() {
  if (busy) {
    again = true;
    return;
  }
  busy = true;
  setTimeout(fetchPage, Math.max(0, earliest - performance.now()));
}

async function fetchPage() {
  const began = performance.now();
  const page = await fetch(location.href).then(
    (response) => (response.status === 401 ? null : response.text()),
    () => null,
  );
  say(page === null ? GONE : "");
  if (page !== null) take(new DOMParser().parseFromString(page, "text/html"));
  earliest = performance.now() + Math.max(LEAST_MS, 9 * (performance.now() - began));
  busy = false;
  if (again) {
    again = false;
    refresh();
  }
}

function take(page) {
  const next = page.getElementById("content");
  if (!next) return;
  const atEnd = new Set([...document.querySelectorAll(".log")].filter(isAtEnd).map((log) => log.ariaLabel));
  Idiomorph.morph(document.getElementById("content"), next, {
    ignoreActiveValue: true,
    callbacks: {
      // What a person has opened or written stays.
      beforeAttributeUpdated: (name) => name !== "open",
      beforeNodeMorphed: (node) => !(node instanceof HTMLTextAreaElement && node.value),
    },
  });
  document.title = page.title;
  document.body.dataset.version = page.body.dataset.version || "";
  dress();
  for (const log of document.querySelectorAll(".log")) if (atEnd.has(log.ariaLabel)) toEnd(log);
}

// ---------------------------------------------------------------- logs

const isAtEnd = (log) => log.scrollHeight - log.scrollTop - log.clientHeight < 30;
const toEnd = (log) => (log.scrollTop = log.scrollHeight);

// ---------------------------------------------------------------- durations, as the terminal writes them

function duration(ms) {
  const seconds = Math.floor(ms / 1000);
  const two = (number) => String(number).padStart(2, "0");
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m${two(seconds % 60)}s`;
  return `${Math.floor(seconds / 3600)}h${two(Math.floor(seconds / 60) % 60)}m`;
}

function tick() {
  if (document.hidden) return;
  for (const one of document.querySelectorAll("[data-grows]")) {
    if (one.shownSince === undefined || one.grewFrom !== one.dataset.grows) {
      one.shownSince = performance.now();
      one.grewFrom = one.dataset.grows;
    }
    one.textContent = duration(Number(one.dataset.grows) + performance.now() - one.shownSince);
  }
}

// ---------------------------------------------------------------- commands

function dress() {
  if (!navigator.clipboard) return;
  for (const command of document.querySelectorAll("code.command")) {
    if (command.nextElementSibling?.classList.contains("copy")) continue;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "copy";
    button.ariaLabel = `copy: ${command.textContent}`;
    button.addEventListener("click", () => copy(command.textContent, button));
    command.after(button);
  }
}

async function copy(text, button) {
  await navigator.clipboard.writeText(text);
  button.textContent = "copied";
  setTimeout(() => (button.textContent = "copy"), 1500);
}

// ---------------------------------------------------------------- beginning

document.addEventListener("visibilitychange", () => (document.hidden ? silence() : listen()));
addEventListener("pagehide", silence);
addEventListener("pageshow", listen);
setInterval(tick, 1000);
dress();
for (const log of document.querySelectorAll(".log")) toEnd(log);
