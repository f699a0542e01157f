"use strict";

// What a picture shows is composed here, from a byte per pixel: toggles and opacity ask the server
// for nothing.

const VIEWS = { classes: "Classes", confidence: "Confidence", attention: "Attention",
  difference: "Difference", none: "Picture" };
const MOST_MESSAGES = 5;
const LARGER = 3; // most pixels of the screen for a pixel of the picture, in each direction
const POLL = 500; // milliseconds between two questions about a video

const find = id => document.getElementById(id);
const percent = fraction => `${(100 * fraction).toFixed(fraction < 0.001 && fraction > 0 ? 3 : 1)} %`;
const counted = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;

let about = null;
let rows = []; // classes by name: {name, color, of: index of the class in each network, or -1}
let rowOf = []; // for each network: row by class index
const hidden = new Set(); // names of classes that are not shown
const items = []; // files
let current = null;
let view = "classes";
let mode = null;
let asked = 0; // number of the latest question, so that answers to older ones are not shown
let panels = [];

function element(tag, attributes = {}, ...children) {
  const made = Object.assign(document.createElement(tag), attributes);
  made.append(...children);
  return made;
}

async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error("the server does not answer: is gcseg.demo still running?");
  }
  if (answer.ok) return answer;
  let message = `the server refuses this (${answer.status})`;
  try { message = (await answer.json()).error; } catch { /* no JSON */ }
  throw new Error(message);
}

function complain(message) {
  const close = element("button", { type: "button", textContent: "×", title: "Dismiss" });
  close.setAttribute("aria-label", "Dismiss");
  const box = element("div", { className: "notice" }, element("span", { textContent: message }),
    close);
  close.onclick = () => box.remove();
  find("messages").prepend(box);
  while (find("messages").children.length > MOST_MESSAGES) find("messages").lastChild.remove();
}

// ---- begin -------------------------------------------------------------------------------------

async function begin() {
  about = await (await ask("/about")).json();
  const titles = about.networks.map(one => one.title);
  document.title = `${titles.join(" · ")} – gcseg`;
  find("title").textContent = titles.join(" and ");
  find("networks").replaceChildren(...about.networks.map(one => element("div", { textContent:
    `${titles.length > 1 ? `${one.title}: ` : ""}${one.about}, ${one.classes.length} classes` })));
  const { megapixels, frames } = about.limits;
  const forms = [...new Set(about.networks.filter(one => !one.rgb).map(one => one.form))];
  find("limits").textContent = [
    `Pictures of up to ${megapixels} megapixels`,
    forms.length ? `of ${forms.join("; or of ")}: TIFF or .npy` : "",
    about.videos ? "" : `videos: the first ${counted(frames, "frame")}`,
  ].filter(Boolean).join(", ") + ".";
  mergeClasses();
  choices("views", Object.entries(VIEWS), view, value => { view = value; draw(); });
  for (const map of ["attention", "confidence"]) {
    const absent = about.networks.map(one => one[`no_${map}`]);
    if (absent.every(Boolean)) disable(map, absent[0]);
  }
  if (about.networks.length < 2) find("views-difference").parentElement.remove();
  mode = about.modes[0];
  choices("modes", about.modes.map(one => [one, one]), mode, value => { mode = value; reload(); });
  if (about.note) note(about.note);
  find("panels").classList.toggle("two", about.networks.length > 1);
  find("page").classList.toggle("side", about.networks.length === 1);
  drawLegend();
}

function mergeClasses() {
  const byName = new Map();
  about.networks.forEach((network, number) => network.classes.forEach((one, index) => {
    if (!byName.has(one.name)) {
      byName.set(one.name, { name: one.name, color: one.color,
        of: about.networks.map(() => -1) });
    }
    byName.get(one.name).of[number] = index;
  }));
  rows = [...byName.values()];
  rowOf = about.networks.map(network => network.classes.map(one =>
    rows.indexOf(byName.get(one.name))));
}

function choices(id, options, chosen, change) {
  for (const [value, text] of options) {
    const input = element("input", { type: "radio", name: id, value, id: `${id}-${value}`,
      checked: value === chosen });
    input.onchange = () => change(value);
    find(id).append(element("label", {}, input, text));
  }
}

// A map that no network has can't be chosen, and the page says why.
function disable(map, why) {
  find(`views-${map}`).disabled = true;
  find("networks").append(element("div", { textContent: `No ${map}: ${why}.` }));
}

// ---- files -------------------------------------------------------------------------------------

async function give(files) {
  for (const file of files) {
    const isVideo = file.type.startsWith("video/");
    const most = isVideo ? about.limits.video : about.limits.picture;
    if (file.size > most) {
      complain(`${file.name} has ${Math.round(file.size / 1e6).toLocaleString("en")} MB, and this ` +
        `page takes ${(most / 1e6).toLocaleString("en")} MB: give it to gcseg.predict`);
      continue;
    }
    if (isVideo && about.videos) {
      complain(`${file.name} is a video: ${about.videos}`);
      continue;
    }
    find("stage").hidden = false;
    busy(`${file.name} is read …`);
    try {
      const query = new URLSearchParams({ name: file.name, mode });
      const found = await (await ask(`/files?${query}`, { method: "POST", body: file })).json();
      const item = { ...found, results: {}, attention: {}, notes: found.notes ?? [] };
      items.push(item);
      addToStrip(item);
      if (item.video) follow(item); // which the next files do not wait for
      await show(item);
    } catch (error) {
      complain(error.message);
      idle();
    }
  }
  find("stage").hidden = !current;
}

function addToStrip(item) {
  const picture = item.video ? element("i", { textContent: "▶" })
    : element("img", { src: `/pictures/${item.key}/image`, alt: "" });
  item.button = element("button", { type: "button", title: item.name }, picture,
    element("span", { textContent: item.name }));
  item.button.onclick = () => show(item);
  find("strip").append(item.button);
}

// Remove a file that could not be read, and show the one before it.
function leaveOut(item) {
  item.button.remove();
  items.splice(items.indexOf(item), 1);
  if (current !== item) return;
  current = null;
  idle();
  notes([]);
  find("stage").hidden = !items.length;
  if (items.length) show(items.at(-1));
  else drawLegend();
}

async function show(item) {
  current = item;
  for (const one of items) one.button.setAttribute("aria-pressed", String(one === item));
  find("stage").hidden = false;
  if (!item.video) {
    await reload();
    return;
  }
  if (item.found) { // the choice of the mode is that of the video
    mode = item.found.mode;
    find(`modes-${mode}`).checked = true;
  }
  showVideo(item);
}

async function reload() {
  const item = current, number = ++asked;
  if (!item) return;
  if (item.video) {
    if (item.found && item.found.mode !== mode) again(item);
    return;
  }
  try {
    if (!item.results[mode]) {
      busy(`${item.name} is predicted (${mode}) …`);
      const of = mode;
      const found = (await (await ask(`/pictures/${item.key}/in/${of}`)).json()).results;
      await Promise.all(found.map(async (one, place) => {
        if (one.error) return;
        const path = `/pictures/${item.key}/in/${of}/${place}`;
        [one.mask, one.confidence] = await Promise.all(
          [bytes(`${path}/mask`), bytes(`${path}/confidence`)]);
      }));
      item.results[of] = found;
    }
    if (number === asked) { layOut(item); await draw(); }
  } catch (error) {
    complain(error.message);
    if (number === asked) idle();
  }
}

const saved = (item, ending) => `${item.name.replace(/\.[^.]*$/, "")}_${ending}`;

const bytes = async path => new Uint8Array(await (await ask(path)).arrayBuffer());

// ---- pictures ----------------------------------------------------------------------------------

function layOut(item) {
  if (panels.item === item && panels.mode === mode) return;
  panels = item.results[mode].map((result, place) => {
    const readout = element("span", { className: "under" });
    const caption = [];
    if (about.networks.length > 1) {
      caption.push(element("b", { textContent: about.networks[place].title }));
    }
    if (result.error) {
      caption.push(element("span", { textContent: result.error }));
      return { box: element("figure", {}, element("figcaption", {}, ...caption)) };
    }
    const image = element("img", { src: `/pictures/${item.key}/image`, alt: item.name,
      width: item.width, height: item.height });
    const canvas = element("canvas", { width: item.width, height: item.height });
    canvas.onpointermove = canvas.onpointerdown = event => tell(event, place);
    canvas.onpointerleave = () => { readout.textContent = ""; };
    caption.push(element("span", { textContent: `predicted in ${result.seconds.toFixed(2)} s` }),
      element("a", { href: `/pictures/${item.key}/in/${mode}/${place}/mask.png`,
        download: saved(item, "mask.png"), textContent: "mask as PNG" }),
      readout);
    const picture = element("div", { className: "picture" }, image, canvas);
    picture.style.width =
      `min(100%, ${78 * item.width / item.height}vh, ${LARGER * item.width}px)`;
    const box = element("figure", {}, picture, element("figcaption", {}, ...caption));
    return { box, canvas, readout, result };
  });
  Object.assign(panels, { item, mode });
  find("panels").replaceChildren(...panels.map(panel => panel.box));
  const full = item.size, small = item.height < full[0] ? ` It is shown reduced to ${
    item.height} × ${item.width}; areas and the mask file are of the full size.` : "";
  notes([`${item.name}: ${full[0]} × ${full[1]} pixels.${small}`, ...item.notes]);
  drawLegend();
}

async function draw() {
  const item = current;
  for (const [id, off] of [["views", item?.video], ["strength", item?.video]]) {
    find(id).hidden = Boolean(off);
  }
  if (!item || item.video || panels.item !== item) return;
  const number = ++asked;
  try {
    if (view === "attention") await loadAttention(item);
  } catch (error) {
    complain(error.message);
    view = "classes";
    find("views-classes").checked = true;
  }
  if (number !== asked) return;
  let end = 1;
  panels.forEach((panel, place) => {
    if (!panel.canvas) return;
    const { values, colors } = layer(item, panel, place);
    panel.values = values;
    paint(panel.canvas, values, colors);
    if (view === "attention") end = Math.max(end, item.attention[place]?.end ?? 1);
  });
  fade();
  drawScale(end);
  status(item);
}

// The values of a layer, and the colour of each value as a number with alpha.
function layer(item, panel, place) {
  const shade = (color, on = 255) => (on << 24 | color[2] << 16 | color[1] << 8 | color[0]) >>> 0;
  const colors = new Uint32Array(256);
  if (view === "classes") {
    rowOf[place].forEach((row, index) => {
      if (!hidden.has(rows[row].name)) colors[index] = shade(rows[row].color);
    });
    return { values: panel.result.mask, colors };
  }
  if (view === "difference") {
    colors[1] = shade([255, 0, 96]);
    return { values: differences(), colors };
  }
  if (view === "none") return { values: null, colors };
  about.scale.forEach((color, level) => { colors[level] = shade(color); });
  if (about.networks[place][`no_${view}`]) return { values: null, colors };
  return { values: view === "confidence" ? panel.result.confidence
    : item.attention[place]?.values, colors };
}

function differences() {
  const [one, other] = panels.map(panel => panel.result?.mask);
  if (!one || !other) return null;
  const [first, second] = rowOf;
  return one.map((value, place) => first[value] === second[other[place]] ? 0 : 1);
}

function paint(canvas, values, colors) {
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  const pixels = new Uint32Array(image.data.buffer);
  if (values) for (let i = 0; i < pixels.length; i++) pixels[i] = colors[values[i]];
  context.putImageData(image, 0, 0);
}

function fade() {
  const share = find("opacity").value;
  find("opacity-value").textContent = `${share} %`;
  for (const panel of panels) if (panel.canvas) panel.canvas.style.opacity = share / 100;
}

async function loadAttention(item) {
  await Promise.all(about.networks.map(async (network, place) => {
    if (network.no_attention || item.attention[place] || item.results[mode][place].error) return;
    busy("the attention map is computed …");
    const answer = await ask(`/pictures/${item.key}/attention/${place}`);
    item.attention[place] = { end: Number(answer.headers.get("X-Scale-End")),
      values: new Uint8Array(await answer.arrayBuffer()) };
  }));
}

function drawScale(end) {
  const isMap = view === "confidence" || view === "attention";
  find("scale").hidden = !isMap;
  if (!isMap) return;
  const ends = view === "confidence" ? ["confidence 0 %", "100 %"]
    : ["attention 0", panels.length > 1 ? "the most" : `${end.toFixed(1)} × that of a uniform map`];
  [find("scale-from").textContent, find("scale-to").textContent] = ends;
  const canvas = find("scale").querySelector("canvas");
  const colors = new Uint32Array(about.scale.map(c =>
    (255 << 24 | c[2] << 16 | c[1] << 8 | c[0]) >>> 0));
  paint(canvas, Uint8Array.from({ length: 256 }, (_, level) => level), colors);
}

function status(item) {
  const parts = [];
  if (view === "difference") {
    const found = differences();
    if (found) {
      parts.push(`The labels differ in ${percent(found.reduce((a, b) => a + b, 0) / found.length)} ` +
        "of the pixels.");
    }
  }
  for (const network of about.networks) {
    const why = network[`no_${view}`];
    if (why) parts.push(`${network.title}: ${why}.`);
  }
  idle(parts.join(" "));
}

// What is under the pointer.
function tell(event, place) {
  const { canvas, readout, result, values } = panels[place];
  const box = canvas.getBoundingClientRect();
  const x = Math.floor((event.clientX - box.left) * canvas.width / box.width);
  const y = Math.floor((event.clientY - box.top) * canvas.height / box.height);
  if (x < 0 || y < 0 || x >= canvas.width || y >= canvas.height) return;
  const at = y * canvas.width + x;
  const network = about.networks[place];
  const parts = [network.classes[result.mask[at]]?.name ?? "?"];
  if (!network.no_confidence) parts.push(`${Math.round(result.confidence[at] / 2.55)} % sure`);
  const end = current.attention[place]?.end;
  if (view === "attention" && values) parts.push(`attention ${(values[at] * end / 255).toFixed(1)}×`);
  readout.textContent = parts.join(", ");
}

// ---- classes -----------------------------------------------------------------------------------

function drawLegend() {
  const results = current?.video ? current.found?.results : current?.results[mode];
  const area = (row, place) => row.of[place] < 0 ? null : results?.[place]?.areas?.[row.of[place]];
  const most = row => Math.max(0, ...about.networks.map((_, place) => area(row, place) ?? 0));
  const known = Boolean(results?.some(one => one.areas));
  const present = known ? rows.filter(row => most(row) > 0).sort((a, b) => most(b) - most(a)) : rows;
  const largest = Math.max(...present.map(most), 1e-9);
  const heads = about.networks.length > 1 ? about.networks.map(one => one.title)
    : [known ? current.video ? "mean area" : "area" : ""];
  find("legend").tHead.replaceChildren(element("tr", {},
    element("th", { className: "t", textContent: "class" }),
    ...heads.map(head => element("th", { textContent: head }))));
  find("legend").tBodies[0].replaceChildren(...present.map(row => element("tr",
    { className: hidden.has(row.name) && !current?.video ? "off" : "" }, nameCell(row),
    ...about.networks.map((_, place) => areaCell(row.of[place] < 0 ? "no such class"
      : area(row, place), largest)))));
  find("absent").textContent = known && present.length < rows.length
    ? `Not in this ${current.video ? "video" : "picture"}: ${rows.filter(row => !most(row))
      .map(row => row.name).join(", ")}.` : "";
  find("choose").hidden = Boolean(current?.video);
  find("classes").hidden = false;
}

function nameCell(row) {
  const swatch = element("i", { className: "swatch" });
  swatch.style.background = `rgb(${row.color.join(",")})`;
  const cell = element("td", { className: "t" });
  if (current?.video) { // its colours are part of the video
    cell.append(element("label", {}, swatch, row.name));
    return cell;
  }
  const input = element("input", { type: "checkbox", checked: !hidden.has(row.name) });
  input.onchange = () => {
    input.checked ? hidden.delete(row.name) : hidden.add(row.name);
    cell.parentElement.className = input.checked ? "" : "off";
    draw();
  };
  cell.append(element("label", {}, input, swatch, row.name));
  return cell;
}

function areaCell(area, largest) {
  const cell = element("td");
  if (typeof area !== "number") {
    cell.textContent = area ?? "";
    return cell;
  }
  const bar = element("span", { className: "bar" });
  bar.style.width = `${100 * area / largest}%`;
  cell.append(percent(area), bar);
  return cell;
}

function toggleAll(shown) {
  for (const row of rows) shown ? hidden.delete(row.name) : hidden.add(row.name);
  drawLegend();
  draw();
}

// ---- videos ------------------------------------------------------------------------------------

// Ask for the progress of a video until its end, whatever is shown meanwhile.
async function follow(item) {
  const turn = item.turn = (item.turn ?? 0) + 1;
  try {
    for (;;) {
      const found = await (await ask(`/videos/${item.key}`)).json();
      if (item.turn !== turn) return; // it is predicted again
      item.found = found;
      if (hasEnded(item)) break;
      if (current === item) showVideo(item);
      await new Promise(done => setTimeout(done, POLL));
    }
    if (item.found.error) complain(item.found.error);
    if (!item.found.results.length) leaveOut(item);
    else if (current === item) showVideo(item);
  } catch (error) {
    complain(error.message);
    leaveOut(item);
  }
}

const hasEnded = item => ["done", "failed"].includes(item.found?.state);

async function again(item) {
  try {
    await ask(`/videos/${item.key}/in/${mode}`, { method: "POST" });
    panels = [];
    follow(item);
  } catch (error) { complain(error.message); }
}

function showVideo(item) {
  const { found } = item;
  if (panels.item !== item) {
    ++asked;
    panels = Object.assign([], { item });
    find("panels").replaceChildren();
    notes([]);
    find("scale").hidden = true;
    draw();
    drawLegend();
  }
  if (!hasEnded(item)) {
    busy(`${item.name} (${found?.mode ?? mode}): ${found?.progress ?? "begins"}`,
      found?.fraction ?? null, item);
    return;
  }
  idle();
  notes(found.notes);
  find("panels").replaceChildren(...found.results.map((result, place) => {
    const path = `/videos/${item.key}/${place}`;
    const video = element("video", { controls: true, loop: true, muted: true, playsInline: true,
      preload: "auto", src: `${path}/overlay.mp4?${found.mode}` });
    const caption = [`${counted(result.frames, "frame")} (${found.mode})`,
      element("a", { href: `${path}/areas.csv`, download: saved(item, "areas.csv"),
        textContent: "areas of each frame as CSV" })];
    if (about.networks.length > 1) {
      caption.unshift(element("b", { textContent: about.networks[place].title }));
    }
    return element("figure", {}, element("div", { className: "picture" }, video),
      element("figcaption", {}, ...caption));
  }));
  drawLegend();
}

// ---- the lines below the controls --------------------------------------------------------------

let clock = 0;

function busy(text, fraction = null, video = null) {
  const begun = Date.now();
  clearInterval(clock);
  find("status").textContent = text;
  if (!video) {
    clock = setInterval(() => {
      find("status").textContent = `${text} ${Math.round((Date.now() - begun) / 1000)} s`;
    }, 1000);
  }
  find("progress").hidden = false;
  if (fraction === null) find("progress").removeAttribute("value");
  else find("progress").value = fraction;
  find("stop").hidden = !video;
  find("stop").onclick = video && (() =>
    ask(`/videos/${video.key}/stop`, { method: "POST" }).catch(error => complain(error.message)));
}

function idle(text = "") {
  clearInterval(clock);
  find("status").textContent = text;
  find("progress").hidden = true;
  find("stop").hidden = true;
}

function notes(lines) {
  find("notes").replaceChildren(...lines.map(line => element("li", { textContent: line })));
}

function note(line) {
  find("networks").append(element("p", { className: "notice", textContent: line }));
}

// ---- events ------------------------------------------------------------------------------------

find("files").onchange = async event => {
  const files = [...event.target.files];
  event.target.value = ""; // so that the same file may be given again
  await give(files);
};
find("opacity").oninput = fade;
find("all").onclick = () => toggleAll(true);
find("none").onclick = () => toggleAll(false);
addEventListener("dragover", event => {
  event.preventDefault();
  find("drop").classList.add("over");
});
addEventListener("dragleave", event => {
  if (!event.relatedTarget) find("drop").classList.remove("over");
});
addEventListener("drop", event => {
  event.preventDefault();
  find("drop").classList.remove("over");
  give([...event.dataTransfer.files]);
});
addEventListener("paste", event => {
  const files = [...event.clipboardData.files];
  if (files.length) give(files);
});

begin().catch(error => complain(error.message));
