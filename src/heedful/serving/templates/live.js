"use strict";
// Ask, show the answer as soon as it is there, then why, and whether that holds.
document.documentElement.classList.add("js");

const form = document.getElementById("ask");
const status = document.getElementById("status");
const answers = document.getElementById("answers");
const words = JSON.parse(document.getElementById("words").textContent);
let asking = null;

form.addEventListener("submit", (event) => { event.preventDefault(); ask(); });
form.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); ask(); }
});
// a number stands for an input, and an input for a number: the last that was given counts
form.addEventListener("input", ({ target }) => {
  if (target.name === "index") {
    for (const field of form.querySelectorAll("textarea, input[type=file]")) field.value = "";
  } else if (form.index && target.matches("textarea, input[type=file]")) {
    form.index.value = "";
  }
});
answers.addEventListener("input", ({ target }) => { // how much of a veil is laid over an image
  const veil = target.closest("figure")?.querySelector(".veil");
  if (veil) veil.style.opacity = target.value / 100;
});

async function ask() {
  asking?.abort(); // who asks again has no use for what was asked before
  const asked = asking = new AbortController();
  const place = document.createElement("div");
  try {
    const input = await given();
    say(words.answering);
    const said = await post("predict", { inputs: [input] }, asked.signal);
    const [first] = (await said.json()).answers;
    show(place, first);
    say(words.explaining);
    const options = { test: form.test.checked };
    if (form.paths.checked) options.paths = Number(form.paths.value); // of each target
    if (form.method.value) options.method = form.method.value;
    const why = await post(`page/explain?lang=${document.documentElement.lang.slice(0, 2)}`, { input, ...options }, asked.signal);
    place.innerHTML = await why.text(); // made by the server, which escapes what was typed
    warn(place, first.warnings);
    say("");
  } catch (error) {
    if (error.name === "AbortError") return;
    place.querySelector(".badge")?.remove();
    say(error instanceof TypeError ? words.gone : error.message, true);
  } finally {
    place.classList.remove("waiting");
    if (asking === asked) asking = null;
  }
}

async function given() {
  const input = {};
  for (const field of form.querySelectorAll("textarea")) if (field.value.trim()) input[field.name] = field.value;
  for (const field of form.querySelectorAll("input[type=file]")) {
    if (!field.files.length) continue;
    const file = field.files[0];
    if (field.name === "rows") input.table = await file.text();
    else input[field.name] = await base64(file);
  }
  if (!Object.keys(input).length && form.index?.value) input.index = form.index.valueAsNumber;
  if (!Object.keys(input).length) throw new Error(words.nothing);
  return input;
}

function base64(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => reject(new Error(words.unreadable));
    reader.readAsDataURL(file);
  });
}

async function post(path, body, signal) {
  const headers = { "content-type": "application/json" };
  const said = await fetch(path, { method: "POST", headers, body: JSON.stringify(body), signal });
  if (!said.ok) throw new Error((await said.json()).error);
  return said;
}

function show(place, first) {
  const article = document.createElement("article");
  const badge = document.createElement("p");
  badge.className = "badge";
  badge.textContent = words.untested;
  const answer = document.createElement("p");
  answer.className = "lead";
  answer.dir = "auto";
  answer.textContent = first.answer;
  article.append(badge, answer);
  place.className = "waiting";
  place.append(article);
  warn(place, first.warnings);
  answers.prepend(place);
}

function warn(place, warnings) {
  for (const warning of warnings) {
    const line = document.createElement("p");
    line.className = "quiet";
    line.lang = "en";
    line.textContent = warning;
    place.querySelector("article").append(line);
  }
}

function say(text, bad = false) {
  status.textContent = text;
  status.classList.toggle("bad", bad);
}
