// The page that talks to the server: compose or pick a request, send it, show both sides.
//
//   preset or form ─► request ─► exchange ─► entry ─► shown, and kept in the logbook
//
// An entry is one finished exchange: { request, answer | failure, why }. Everything from the wire
// is set as text, never as markup.

import { bodyText, duration, exchange, problem, protocol, size } from "./probe.js";
import { GREETING, HOLD, PASS } from "./presets.js";

/** Exchanges kept in the logbook; older ones leave it. */
const KEPT = 12;

/** Longest body in bytes that is put into the form; a longer one is sent all the same. */
const FORM_BYTES = 8192;

/** Names of this machine. Whoever came by another one is a stranger to the pages for operators, and is not sent there. */
const LOCAL = /^(localhost|127(\.\d+){3}|\[::1\])$/;

const at = (id) => document.getElementById(id);
const utf8 = new TextEncoder();
const log = [];
let stored = null; // path of the newest upload, once there is one
let busy = false;

start();

function start() {
  for (const preset of PASS) at("chips-pass").append(chip(preset));
  for (const preset of HOLD) at("chips-hold").append(chip(preset));
  fill({ method: "POST", target: "/upload", fields: { "Content-Type": "application/json" }, body: GREETING });
  at("composer").addEventListener("submit", sendForm);
  at("method").addEventListener("change", fitForm);
  at("body").addEventListener("input", fitForm);
  at("verdict").textContent = "Nothing sent yet.";
  at("result").classList.add("empty");
  at("operators").hidden = !LOCAL.test(location.hostname);
}

function chip(preset) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = preset.name;
  button.disabled = preset.needsUpload === true;
  button.dataset.needsUpload = button.disabled;
  button.addEventListener("click", () => sendPreset(preset));
  return button;
}

// sending

async function sendPreset(preset) {
  await once(async () => {
    const request = await preset.make(stored);
    fill(request);
    await send(request, preset.why);
  });
}

async function sendForm(event) {
  event.preventDefault();
  await once(() => send(readForm(), ""));
}

/** One exchange at a time; an error before anything was sent is told beside the button. */
async function once(work) {
  if (busy) return;
  busy = true;
  at("error").textContent = "";
  try {
    await work();
  } catch (error) {
    at("error").textContent = error.message;
  } finally {
    busy = false;
  }
}

async function send(request, why) {
  const entry = { request, why, answer: null, failure: null };
  at("verdict").textContent = "Waiting for the answer…";
  try {
    entry.answer = await exchange(request);
  } catch (error) {
    entry.failure = error.name === "TimeoutError" ? "No answer in time." : "The connection ended without a readable answer.";
  }
  if (entry.answer?.status === 201) keepPath(entry.answer.fields.get("location"));
  log.unshift(entry);
  log.length = Math.min(log.length, KEPT);
  show(entry);
  listLog();
  at("result").scrollIntoView({ block: "nearest" });
}

function keepPath(path) {
  if (path === null) return;
  stored = path;
  for (const button of document.querySelectorAll('[data-needs-upload="true"]')) button.disabled = false;
}

// the form

function readForm() {
  const method = at("method").value;
  const url = new URL(at("target").value, location.origin);
  if (url.origin !== location.origin) throw new Error("This page talks only to its own server: begin the target with one slash.");
  const request = { method, target: url.pathname + url.search, fields: readFields(at("fields").value) };
  return method === "POST" ? { ...request, body: at("body").value } : request;
}

function readFields(text) {
  const fields = {};
  for (const line of text.split("\n").filter((line) => line.trim() !== "")) {
    const colon = line.indexOf(":");
    if (colon < 1) throw new Error(`Not a field: “${line.trim()}”. Write Name: value.`);
    fields[line.slice(0, colon).trim()] = line.slice(colon + 1).trim();
  }
  return fields;
}

function fill({ method, target, fields, body = "" }) {
  at("method").value = method;
  at("target").value = target;
  at("fields").value = fieldLines(Object.entries(fields)).join("\n");
  const fits = body.length <= FORM_BYTES;
  at("body").value = fits ? body : "";
  at("body").placeholder = fits ? "" : `${size(utf8.encode(body).length)} were sent: too much to show here.`;
  fitForm();
}

/** Only POST has a body here; its length is told as the server will count it, in bytes. */
function fitForm() {
  at("body-label").hidden = at("method").value !== "POST";
  at("body-size").textContent = size(utf8.encode(at("body").value).length);
}

// showing

function show({ request, answer, failure, why }) {
  at("result").classList.remove("empty");
  at("why").textContent = why;
  at("sent").textContent = requestText(request);
  at("received").textContent = answer === null ? failure : answerText(answer);
  at("verdict").replaceChildren(...verdict(answer, failure));
  showPlace(request, answer);
}

function verdict(answer, failure) {
  if (answer === null) return [tag("no answer", "bad"), ` ${failure}`];
  const code = problem(answer)?.code;
  const parts = [tag(`${answer.status} ${answer.reason}`.trim(), answer.status < 400 ? "ok" : "bad")];
  if (code !== undefined) parts.push(" ", tag(code, "bad"));
  return [...parts, ` in ${duration(answer.millis)}`];
}

function requestText({ method, target, fields, body }) {
  const lines = [`${method} ${target} ${protocol()}`, `Host: ${location.host}`, ...fieldLines(Object.entries(fields))];
  if (body === undefined) return lines.join("\n");
  const bytes = utf8.encode(body);
  return [...lines, `Content-Length: ${bytes.length}`, "", bodyText(bytes)].join("\n");
}

function answerText({ status, reason, fields, bytes }) {
  const head = [`${protocol()} ${status} ${reason}`.trim(), ...fieldLines(fields)].join("\n");
  return bytes.length === 0 ? `${head}\n\n(no body)` : `${head}\n\n${bodyText(bytes)}`;
}

/** Browsers give field names in lower case; they are shown the way they are usually written. */
function fieldLines(fields) {
  const title = (name) => name.replace(/(^|-)[a-z]/g, (letter) => letter.toUpperCase()).replace("Etag", "ETag");
  return [...fields].map(([name, value]) => `${title(name)}: ${value}`);
}

/**
 * Where the refusal names a line and column of the body, that line with a caret below the place.
 * The column counts bytes from 1, the way the server reads; a caret stands below characters.
 */
function showPlace({ body = "" }, answer) {
  const why = answer === null ? null : problem(answer);
  const line = body.split("\n")[(why?.line ?? 0) - 1];
  at("pointer").hidden = line === undefined || why?.column === undefined;
  if (at("pointer").hidden) return;
  const before = new TextDecoder().decode(utf8.encode(line).subarray(0, Math.max(0, why.column - 1))).length;
  const from = Math.max(0, before - 40); // a long line is shown around the place
  const caret = " ".repeat(before - from);
  at("pointer-text").textContent = `${line.slice(from, from + 80)}\n${caret}^ line ${why.line}, column ${why.column}`;
}

function listLog() {
  at("log").hidden = false;
  at("entries").replaceChildren(...log.map(logLine));
}

function logLine(entry) {
  const { request, answer } = entry;
  const button = document.createElement("button");
  button.type = "button";
  const status = answer === null ? tag("none", "bad") : tag(String(answer.status), answer.status < 400 ? "ok" : "bad");
  const line = document.createElement("code");
  line.textContent = `${request.method} ${request.target}`;
  const time = document.createElement("span");
  time.textContent = answer === null ? "" : duration(answer.millis);
  button.append(status, line, time);
  button.addEventListener("click", () => {
    show(entry);
    at("result").scrollIntoView({ block: "start" });
  });
  const item = document.createElement("li");
  item.append(button);
  return item;
}

function tag(text, tone) {
  const span = document.createElement("span");
  span.className = `tag ${tone}`;
  span.textContent = text;
  return span;
}
