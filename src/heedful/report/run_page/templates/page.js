"use strict";
// What the page can do beyond being read: copy a command, enlarge a map, point from rows to dots.
document.documentElement.classList.add("js");

const tip = document.getElementById("tip");
const read = (id) => JSON.parse(document.getElementById(id)?.textContent || "{}");

for (const button of document.querySelectorAll(".copy")) {
  const said = button.textContent;
  button.hidden = false;
  button.addEventListener("click", async () => {
    const text = button.parentElement.querySelector("code");
    try {
      await navigator.clipboard.writeText(text.textContent);
    } catch {
      // a page from a file may not: select it, so that the reader can
      getSelection().selectAllChildren(text);
      return;
    }
    button.textContent = button.dataset.done;
    setTimeout(() => { button.textContent = said; }, 2000);
  });
}

// ---- charts: a dot says its numbers, and stands out together with its row ------------------------

for (const figure of document.querySelectorAll(".chart")) {
  const groups = figure.querySelectorAll("g.mark-symbol.role-mark");
  const dots = groups.length ? [...groups[groups.length - 1].children] : [];
  for (const dot of dots) {
    dot.addEventListener("mouseenter", () => { tip.textContent = dot.getAttribute("aria-label"); tip.hidden = false; });
    dot.addEventListener("mouseleave", () => { tip.hidden = true; });
  }
  const table = document.getElementById(figure.dataset.rows);
  const rows = table ? [...table.querySelectorAll("tr[data-drawn]")] : [];
  rows.forEach((row, i) => {
    const both = [row, dots[i]].filter(Boolean); // dots are in the order of the rows
    for (const node of both) {
      node.addEventListener("mouseenter", () => point(both, true));
      node.addEventListener("mouseleave", () => point(both, false));
    }
  });
}

function point(nodes, on) {
  for (const node of nodes) node.classList.toggle("pointed", on);
}

// ---- heads: the large map ----------------------------------------------------------------------

const dialog = document.getElementById("map");
const tokens = read("tokens");
const words = read("map-words");
const ROOM = 420; // pixels of the larger side of a map

for (const button of document.querySelectorAll(".head")) {
  button.addEventListener("click", () => open(button));
}

function open(button) {
  document.getElementById("map-title").textContent = button.getAttribute("aria-label");
  const images = [...button.querySelectorAll("img")];
  const maps = images.map((image, i) => large(image, tokens[button.dataset.site] ?? [[], []],
    images.length > 1 ? (i ? words.after : words.before) : ""));
  dialog.querySelector(".maps").replaceChildren(...maps);
  dialog.showModal();
}

function large(image, [rows, columns], title) {
  const [wide, high] = [image.naturalWidth, image.naturalHeight];
  const largest = +image.dataset.largest;
  const size = Math.max(2, Math.min(36, Math.floor(ROOM / Math.max(wide, high))));
  const canvas = document.createElement("canvas");
  canvas.width = wide;
  canvas.height = high;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  const pixels = context.getImageData(0, 0, wide, high).data;
  const figure = document.createElement("figure");
  const down = axis(rows, high, +image.dataset.rows), across = axis(columns, wide, +image.dataset.columns);
  const margin = 8 + 7 * Math.min(16, Math.max(1, ...down.map((name) => name.length)));
  const top = 8 + 7 * Math.min(16, Math.max(1, ...across.map((name) => name.length)));
  canvas.style.width = `${wide * size}px`;
  canvas.style.height = `${high * size}px`;
  canvas.style.imageRendering = "pixelated";
  canvas.style.marginLeft = `${margin}px`;
  figure.append(labels(down, across, { size, margin, top, wide, high }), canvas);
  const caption = document.createElement("figcaption");
  caption.className = "quiet";
  caption.textContent = [title, words.scale.replace("{largest}", `${(100 * largest).toFixed(0)} %`)].filter(Boolean).join(": ");
  figure.append(caption);
  canvas.addEventListener("mousemove", (event) => {
    const x = Math.min(wide - 1, Math.floor(event.offsetX / size)), y = Math.min(high - 1, Math.floor(event.offsetY / size));
    const root = (255 - pixels[4 * (y * wide + x)]) / 255;
    document.getElementById("map-cell").textContent = `${down[y]} → ${across[x]}: ${(100 * largest * root * root).toFixed(1)} %`;
  });
  return figure;
}

// Names of cells; where several places share one, from which to which.
function axis(names, cells, places) {
  return Array.from({ length: cells }, (_, i) => {
    const start = Math.floor(i * places / cells), end = Math.ceil((i + 1) * places / cells) - 1;
    const name = (at) => names[at] ?? String(at);
    return start >= end ? name(start) : `${name(start)}…${name(end)}`;
  });
}

function labels(down, across, { size, margin, top, wide, high }) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("width", margin + wide * size + 4);
  svg.setAttribute("height", top);
  const text = (content, x, y, turn) => {
    const node = document.createElementNS(svg.namespaceURI, "text");
    node.setAttribute("class", "axis");
    node.setAttribute("transform", `translate(${x} ${y})${turn ? " rotate(-90)" : ""}`);
    if (!turn) node.setAttribute("text-anchor", "end");
    node.textContent = content.length > 16 ? `${content.slice(0, 15)}…` : content;
    svg.append(node);
  };
  const every = Math.ceil(13 / size);
  across.forEach((name, i) => { if (i % every === 0) text(name, margin + (i + 0.5) * size + 4, top - 4, true); });
  down.forEach((name, i) => { if (i % every === 0) text(name, margin - 4, top + (i + 0.5) * size + 4, false); });
  svg.style.position = "absolute";
  svg.style.overflow = "visible";
  svg.style.pointerEvents = "none";
  const frame = document.createElement("div");
  frame.style.height = `${top}px`;
  frame.append(svg);
  return frame;
}

// ---- images: how much of the veil is laid over them ---------------------------------------------

for (const slider of document.querySelectorAll(".overlays input")) {
  const veil = slider.closest("figure").querySelector(".veil");
  slider.addEventListener("input", () => { veil.style.opacity = slider.value / 100; });
}
