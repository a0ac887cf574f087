"use strict";
// What a figure shows where the pointer or the arrow keys are, tables in order, downloads. Without it the page stands.
const SVG = "http://www.w3.org/2000/svg";
const figures = JSON.parse(document.getElementById("data").textContent);

function shown(value) {
  if (value === null || value === undefined) return "-";
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e12 || size < 1e-4)) return value.toExponential(3).replace("e+", "e");
  if (Number.isInteger(value)) return value.toLocaleString("en");
  return Number(value.toPrecision(4)).toLocaleString("en", { maximumFractionDigits: 10 });
}

function on([kind, , , size], value) {
  return kind === "log" ? Math.log10(value) : kind === "symlog" ? Math.asinh(value / size) : value;
}

function share(scale, value) {
  const [low, high] = [on(scale, scale[1]), on(scale, scale[2])], unit = Math.max(Math.abs(low), Math.abs(high));
  return (on(scale, value) / unit - low / unit) / (high / unit - low / unit);
}

function made(name, attributes, ...inside) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...inside);
  return element;
}

function drawn(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

// ---- reading a figure ----
class Reader {
  constructor(name, data) {
    this.data = data;
    this.panels = document.getElementById(name + "-panels");
    this.pictures = [...this.panels.querySelectorAll("svg")];
    this.places = [...new Set(data.series.flatMap(s => s.x))].sort((a, b) => a - b);
    this.at = -1;
    this.read = made("div", { class: "read", role: "status", hidden: "" });
    this.panels.after(this.read);
    this.panels.addEventListener("pointermove", event => this.point(event));
    this.panels.addEventListener("pointerleave", () => this.hide());
    this.panels.addEventListener("blur", () => this.hide());
    this.panels.addEventListener("keydown", event => this.key(event));
  }

  inside(panel, x) { // where a place stands along the axis that is read, in the picture's units
    const [left, top, width, height] = panel.box;
    return this.data.rows ? top + height * (1 - share(panel.y, -x)) : left + width * share(panel.x, x);
  }

  point(event) {
    const picture = event.target.closest("svg");
    if (!picture) return this.hide();
    const i = this.pictures.indexOf(picture), box = picture.getBoundingClientRect(), unit = picture.viewBox.baseVal.width / box.width;
    const along = unit * (this.data.rows ? event.clientY - box.top : event.clientX - box.left);
    let best = 0, far = Infinity;
    this.places.forEach((place, k) => {
      const away = Math.abs(this.inside(this.data.panels[i], place) - along);
      if (away < far) [best, far] = [k, away];
    });
    this.show(best, picture);
  }

  key(event) {
    const last = this.places.length - 1;
    const next = { ArrowRight: this.at + 1, ArrowDown: this.at + 1, ArrowLeft: this.at - 1, ArrowUp: this.at - 1, Home: 0, End: last, PageDown: this.at + 10, PageUp: this.at - 10 }[event.key];
    if (event.key === "Escape") return this.hide();
    if (next === undefined) return undefined;
    event.preventDefault();
    return this.show(Math.min(last, Math.max(0, next)), this.pictures[0]);
  }

  show(k, picture) {
    this.clear();
    this.at = k;
    const x = this.places[k], { data } = this;
    const rows = data.series.map(series => this.row(series, x)).filter(Boolean);
    const title = data.labels ? data.labels[x] : `${data.x} ${shown(x)}`;
    this.read.replaceChildren(made("table", {}, made("caption", {}, `${title}: ${data.y}`), made("tbody", {}, ...rows)));
    data.panels.forEach((panel, i) => {
      const [left, top, width, height] = panel.box, along = this.inside(panel, x);
      const d = data.rows ? `M${left},${along}h${width}` : `M${along},${top}v${height}`;
      this.pictures[i].append(drawn("path", { class: "mark", d, stroke: "currentColor", "stroke-opacity": 0.5, fill: "none" }));
    });
    this.dots(x);
    this.read.hidden = false;
    this.stand(picture, x);
  }

  row(series, x) {
    const i = series.x.indexOf(x), said = (series.said || []).filter(([at]) => at === x).map(([, text]) => text).join(", ");
    if (i < 0 && !said) return null;
    const ends = series.low && series.low[i] !== null ? `${shown(series.low[i])} to ${shown(series.high[i])}` : "";
    const swatch = drawn("svg", { width: 22, height: 8, viewBox: "0 0 22 8" });
    swatch.append(drawn("path", { d: "M0,4h22", stroke: series.colour, "stroke-width": 2.5, "stroke-dasharray": series.dash }));
    return made("tr", {}, made("td", { class: "text" }, swatch), made("th", { scope: "row", class: "text" }, series.name),
      made("td", {}, shown(series.mean[i])), made("td", {}, ends), made("td", { class: "text" }, said));
  }

  dots(x) {
    if (this.data.rows || this.data.labels) return;
    for (const series of this.data.series) {
      const value = series.mean[series.x.indexOf(x)], panel = this.data.panels[series.panel];
      if (value === undefined || value === null) continue;
      const [, top, , height] = panel.box;
      const place = { cx: this.inside(panel, x), cy: top + height * (1 - share(panel.y, value)), r: 4 };
      this.pictures[series.panel].append(drawn("circle", { class: "mark", ...place, fill: series.colour }));
    }
  }

  stand(picture, x) { // beside the line, on the side that has room
    const whole = this.panels.parentElement.getBoundingClientRect(), box = picture.getBoundingClientRect();
    const unit = box.width / picture.viewBox.baseVal.width, panel = this.data.panels[this.pictures.indexOf(picture)];
    const along = unit * this.inside(panel, x), wide = this.read.offsetWidth;
    const across = box.left - whole.left + (this.data.rows ? box.width / 3 : along + 14);
    const fits = across + wide <= whole.width ? across : Math.max(0, Math.min(whole.width - wide, across - wide - 28));
    const down = box.top - whole.top + (this.data.rows ? along + 14 : 14);
    this.read.style.left = `${fits}px`;
    this.read.style.top = `${down}px`;
  }

  clear() {
    this.panels.querySelectorAll(".mark").forEach(mark => mark.remove());
  }

  hide() {
    this.clear();
    this.read.hidden = true;
  }
}

// ---- downloads ----
function save(name, blob) {
  const link = made("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function csv(data) {
  const cell = value => /[",\n]/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : value ?? "";
  const lines = [["name", data.x, data.y, "low", "high", "note"]];
  for (const s of data.series) {
    const noted = new Set(s.x);
    s.x.forEach((x, i) => {
      const said = (s.said || []).filter(([at]) => at === x).map(([, text]) => text).join(", ");
      lines.push([s.name, data.labels ? data.labels[x] : x, s.mean[i], (s.low || s.mean)[i], (s.high || s.mean)[i], said]);
    });
    for (const [x, text] of (s.said || []).filter(([at]) => !noted.has(at))) lines.push([s.name, x, "", "", "", text]);
  }
  return lines.map(line => line.map(cell).join(",")).join("\n") + "\n";
}

async function png(pictures, title) {
  const look = getComputedStyle(document.body), [ink, paper] = [look.color, look.backgroundColor];
  const { width, height } = pictures[0].viewBox.baseVal, across = pictures.length > 1 ? 4 : 1, zoom = 2, head = 30;
  const canvas = made("canvas", { width: zoom * width * Math.min(across, pictures.length), height: zoom * (head + height * Math.ceil(pictures.length / across)) });
  const pen = canvas.getContext("2d");
  pen.fillStyle = paper;
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.fillStyle = ink;
  pen.font = `600 ${zoom * 13}px system-ui, sans-serif`;
  pen.fillText(title, zoom * 8, zoom * 20);
  for (const [i, picture] of pictures.entries()) {
    const copy = picture.cloneNode(true), image = new Image();
    copy.querySelectorAll(".mark").forEach(mark => mark.remove());
    for (const [key, value] of Object.entries({ color: ink, width: zoom * width, height: zoom * height })) copy.setAttribute(key, value);
    image.src = "data:image/svg+xml," + encodeURIComponent(new XMLSerializer().serializeToString(copy));
    await image.decode();
    pen.drawImage(image, zoom * width * (i % across), zoom * (head + height * Math.floor(i / across)));
  }
  return new Promise(done => canvas.toBlob(done, "image/png"));
}

function tools(name, data, reader) {
  const title = document.title, file = kind => `${document.body.dataset.study}-${name}.${kind}`;
  const buttons = {
    PNG: async () => save(file("png"), await png(reader.pictures, `${title}: ${data.y}`)),
    CSV: () => save(file("csv"), new Blob([csv(data)], { type: "text/csv" })),
  };
  const row = made("div", { class: "tools" });
  for (const [kind, act] of Object.entries(buttons)) {
    const button = made("button", { type: "button", "aria-label": `${kind} of ${data.title}` }, kind);
    button.addEventListener("click", act);
    row.append(button);
  }
  reader.panels.parentElement.append(row);
}

// ---- tables in order ----
function key(row, column) {
  const text = row.cells[column].textContent.trim(), found = text.replaceAll(",", "").match(/^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?/i);
  return [text, found ? Number(found[0]) : null];
}

function order(a, b) {
  if (a[1] !== null && b[1] !== null && a[1] !== b[1]) return a[1] - b[1];
  if ((a[1] === null) !== (b[1] === null)) return a[1] === null ? 1 : -1;
  return a[0].localeCompare(b[0], "en", { numeric: true });
}

function sortable(table) {
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = made("button", { type: "button", title: "sort" }, ...head.childNodes);
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      const rows = [...table.tBodies[0].rows].map(row => [key(row, column), row]);
      table.tBodies[0].append(...rows.sort((a, b) => sign * order(a[0], b[0])).map(([, row]) => row));
    });
  });
}

for (const [name, data] of Object.entries(figures)) tools(name, data, new Reader(name, data));
document.querySelectorAll("main table").forEach(sortable);
const folded = [...document.querySelectorAll("details:not([open])")];
addEventListener("beforeprint", () => folded.forEach(each => { each.open = true; }));
addEventListener("afterprint", () => folded.forEach(each => { each.open = false; }));
