"use strict";
// Draws the figures that the page holds as data. Every figure has a still picture, which stays where this fails.
const page = JSON.parse(document.getElementById("page-data").textContent);
const dark = matchMedia("(prefers-color-scheme: dark)");
const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const font = (size) => ({ family: "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif", size, color: token("--ink") });
const config = {
  responsive: false, displaylogo: false, scrollZoom: false, plotlyServerURL: "", doubleClick: "reset",
  displayModeBar: true, modeBarButtons: [["toImage"]],
};

// -- clouds: every one stands in a cell of a table, seen in parallel projection --------------------------

const TURN = 0.44, TILT = 0.52, WIDE = 2.4, DEEP = 2.9, TALL = 2.75, REACH = 2.4;
// Clouds in each row of the table; odd and even rows alternate, so that what stands behind shows in the gaps.
const ROWS = [[], [1], [2], [1, 2], [1, 2, 1], [2, 1, 2], [1, 2, 3], [2, 3, 2], [3, 2, 3], [2, 3, 4], [3, 4, 3]];

// Plotly reads tags in texts, and names come from users' files.
const plain = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
const short = (text, most) => (text.length > most ? text.slice(0, Math.max(most - 1, 1)) + "…" : text);

function decode(text, Kind) {
  const raw = atob(text), bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return new Kind(bytes.buffer);
}

class Clouds {
  constructor(figure, scene) {
    this.figure = figure;
    this.scene = scene;
    this.plot = figure.querySelector(".plot");
    this.colors = scene.clouds.map((c) => decode(c.colors, Uint8Array));
    this.points = scene.clouds.map((c) => (c.points === undefined ? null : this.local(c.points)));
    this.camera = this.home();
    this.twins = [];
    this.zoom = 1;
  }

  // Coordinates of a cloud about its own centre, one array an axis, turned so that its side shows.
  local(text) {
    const raw = decode(text, Int16Array), n = raw.length / 3, unit = this.scene.unit;
    const out = [new Float32Array(n), new Float32Array(n), new Float32Array(n)];
    const c = this.scene.flat ? 1 : Math.cos(TURN), s = this.scene.flat ? 0 : Math.sin(TURN);
    for (let i = 0; i < n; i++) {
      const x = raw[3 * i] / unit, y = raw[3 * i + 1] / unit;
      out[0][i] = c * x + s * y;
      out[1][i] = c * y - s * x;
      out[2][i] = raw[3 * i + 2] / unit;
    }
    return out;
  }

  home() {
    const flat = this.scene.flat;
    return {
      projection: { type: "orthographic" }, center: { x: 0, y: 0, z: 0 },
      up: flat ? { x: 0, y: 1, z: 0 } : { x: 0, y: 0, z: 1 },
      eye: flat ? { x: 0, y: 0, z: 2 } : { x: 0, y: -2 * Math.cos(TILT), z: 2 * Math.sin(TILT) },
    };
  }

  // Places of the clouds, and the size of a plot that holds them however they are turned.
  measure() {
    const flat = this.scene.flat, rows = ROWS[this.scene.clouds.length], deep = flat ? TALL : DEEP;
    this.cells = rows.flatMap((length, row) => Array.from({ length }, (_, k) =>
      [(k - (length - 1) / 2) * WIDE, ((rows.length - 1) / 2 - row) * deep]));
    const radius = Math.max(...this.cells.map(([x, y]) => Math.hypot(x, y)));
    const across = flat ? (Math.max(...rows) - 1) * WIDE + 2.3 : 2 * radius + 2.1;
    const up = flat ? (rows.length - 1) * deep + 2.7 : 2 * radius * Math.sin(TILT + 0.1) + 2.5;
    const width = this.width - 2, height = Math.round(Math.min(Math.max(width * up / across, 240), 520));
    const scale = this.zoom * 0.97 * Math.min(2 * width / height / across, 2 / up);
    return { width, height, scale, reach: radius + REACH, pixels: scale * height / 2 };
  }

  shifted(k, points) {
    const [cx, cy] = this.cells[k];
    return [points[0].map((v) => v + cx), points[1].map((v) => v + cy), points[2]];
  }

  traces() {
    return this.scene.clouds.map((cloud, k) => {
      const [x, y, z] = this.shifted(k, this.points[k]);
      const share = Math.min(Math.max(0.55 / Math.sqrt(Math.max(cloud.count, 1)), 0.012), 0.06);
      return {
        type: "scatter3d", mode: "markers", x, y, z, hovertemplate: cloud.about.map(plain).join("<br>").replaceAll("%", "&#37;") + "<extra></extra>",
        marker: {
          size: Math.max(1.6 * share * this.size.pixels, 1.5), color: this.colors[k], coloraxis: "coloraxis",
          opacity: 1, line: { width: 0 },
        },
      };
    });
  }

  layout() {
    const { width, height, scale, reach } = this.size, flat = this.scene.flat;
    const axis = (half) => ({ visible: false, range: [-half, half], autorange: false });
    return {
      width, height, margin: { l: 0, r: 0, t: 0, b: 0 }, showlegend: false, uirevision: "kept", font: font(12),
      paper_bgcolor: "rgba(0,0,0,0)", hoverlabel: { align: "left", bgcolor: token("--paper"), bordercolor: token("--rule"), font: font(12) },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: token("--soft"), activecolor: token("--accent") },
      coloraxis: { cmin: 0, cmax: 255, colorscale: page.palettes[token("--scheme")] || page.palettes.light, showscale: false },
      scene: {
        xaxis: axis(reach), yaxis: axis(reach), zaxis: axis(REACH), aspectmode: "manual", dragmode: flat ? "pan" : "turntable",
        aspectratio: { x: 2 * reach * scale, y: 2 * reach * scale, z: 2 * REACH * scale }, camera: this.camera, bgcolor: "rgba(0,0,0,0)",
        annotations: this.labels(),
      },
    };
  }

  labels() {
    const size = this.size.width < 680 ? 11 : 12.5, most = Math.floor(WIDE * this.size.pixels / (0.6 * size));
    return this.scene.clouds.flatMap((cloud, k) => {
      if (!cloud.name) return [];
      const [x, y] = this.cells[k], flat = this.scene.flat;
      return [{
        x, y: flat ? y - 1.05 : y, z: flat ? 0 : -1.1, text: plain(short(cloud.name, most)), showarrow: false,
        yanchor: "top", yshift: flat ? 0 : -9, font: font(size), bgcolor: token("--veil"), borderpad: 1,
      }];
    });
  }

  async draw() {
    this.figure.classList.add("live");
    this.width = this.figure.clientWidth;
    this.size = this.measure();
    await Plotly.react(this.plot, this.traces(), this.layout(), config);
  }

  listen() {
    const follow = (camera) => {
      if (!camera || this.led) return;
      this.camera = camera;
      for (const twin of this.twins) twin.look(camera);
    };
    // Plotly lets a scene glide on for a moment after the mouse is up, and does not tell where it comes to rest.
    const settle = debounced(() => follow(this.plot._fullLayout.scene._scene?.getCamera?.()), 300);
    this.plot.on("plotly_relayouting", (change) => follow(change["scene.camera"]));
    this.plot.on("plotly_relayout", (change) => { if (!this.led) { follow(change["scene.camera"]); settle(); } });
    this.plot.addEventListener("keydown", (event) => this.key(event));
  }

  async look(camera) {
    this.camera = camera;
    this.led = true;
    await Plotly.relayout(this.plot, { "scene.camera": camera });
    this.led = false;
  }

  key(event) {
    const larger = { "+": 1.25, "=": 1.25, "-": 0.8 }[event.key];
    if (larger) for (const each of [this, ...this.twins]) { each.zoom *= larger; each.draw(); }
    const step = { ArrowLeft: [-0.2, 0], ArrowRight: [0.2, 0], ArrowUp: [0, 0.15], ArrowDown: [0, -0.15] }[event.key];
    if (!step || this.scene.flat) return;
    event.preventDefault();
    const { x, y, z } = this.camera.eye, r = Math.hypot(x, y, z);
    const turn = Math.atan2(y, x) + step[0], tilt = Math.min(Math.max(Math.asin(z / r) + step[1], -1.4), 1.4);
    const eye = { x: r * Math.cos(tilt) * Math.cos(turn), y: r * Math.cos(tilt) * Math.sin(turn), z: r * Math.sin(tilt) };
    const camera = { ...this.camera, eye };
    for (const each of [this, ...this.twins]) each.look(camera);
  }
}

// -- the path: the same clouds, at a place between two moments -------------------------------------------

class Path extends Clouds {
  constructor(figure, scene) {
    super(figure, scene);
    this.moments = scene.frames.map((f) => f.points.map((p) => this.local(p)));
    this.hues = scene.frames.map((f) => f.colors && f.colors.map((c) => decode(c, Uint8Array)));
    this.slider = figure.querySelector(".controls input");
    this.output = figure.querySelector(".controls output");
    this.button = figure.querySelector(".controls button");
    this.place = scene.frames.length - 1;
    this.set(this.place);
  }

  set(place) {
    const last = this.moments.length - 1, k = Math.min(Math.floor(place), Math.max(last - 1, 0)), f = place - k;
    const next = Math.min(k + 1, last), between = (a, b) => a.map((v, i) => v + f * (b[i] - v));
    this.place = place;
    this.points = this.moments[k].map((cloud, c) => cloud.map((axis, d) => between(axis, this.moments[next][c][d])));
    if (this.hues[k]) this.colors = this.hues[k].map((hue, c) => between(Float32Array.from(hue), this.hues[next][c]));
    const frames = this.scene.frames, signal = frames[k].signal + f * (frames[next].signal - frames[k].signal);
    const text = `signal ${Math.round(100 * signal)} %, noise ${Math.round(100 * (1 - signal))} %`;
    this.output.textContent = text;
    this.slider.setAttribute("aria-valuetext", text);
  }

  async show(place) {
    this.wanted = place;
    if (this.busy) return;
    this.busy = true;
    while (this.wanted !== null) {
      const now = this.wanted;
      this.wanted = null;
      this.set(now);
      const axes = this.points.map((p, k) => this.shifted(k, p));
      const change = { x: axes.map((a) => a[0]), y: axes.map((a) => a[1]), z: axes.map((a) => a[2]) };
      if (this.hues[0]) change["marker.color"] = this.colors;
      await Plotly.restyle(this.plot, change);
    }
    this.busy = false;
  }

  listen() {
    super.listen();
    this.slider.addEventListener("input", () => { this.stop(); this.show(Number(this.slider.value)); });
    this.button.addEventListener("click", () => (this.playing ? this.stop() : this.play()));
  }

  stop() {
    this.playing = false;
    this.button.textContent = "Play";
  }

  play() {
    const last = this.moments.length - 1, rate = Math.max(last, 1) / 5000;
    let place = this.place >= last ? 0 : this.place, before = performance.now();
    this.playing = true;
    this.button.textContent = "Pause";
    const tick = async (now) => {
      if (!this.playing) return;
      place = Math.min(place + rate * Math.max(now - before, 0), last);
      before = now;
      this.slider.value = place;
      await this.show(place);
      if (place >= last) this.stop(); else requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  }
}

// -- curves ----------------------------------------------------------------------------------------------

function resolved(value) {
  if (typeof value === "string") return value.startsWith("--") ? token(value) : value;
  if (Array.isArray(value)) return value.map(resolved);
  if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, resolved(v)]));
  return value;
}

class Curve {
  constructor(figure, views) {
    this.figure = figure;
    this.plot = figure.querySelector(".plot");
    this.views = views;
    this.view = Object.keys(views)[0];
  }

  async draw() {
    this.figure.classList.add("live");
    this.width = this.figure.clientWidth;
    const { data, layout } = resolved(this.views[this.view]), width = this.width - 2;
    const line = { gridcolor: token("--grid"), linecolor: token("--rule"), zeroline: false, automargin: true, ticks: "outside", tickcolor: token("--rule") };
    const title = (text) => ({ text, standoff: 10, font: font(12.5) });
    await Plotly.react(this.plot, data, {
      width, height: 360, margin: { l: 56, r: 18, t: 14, b: 48 }, font: font(12), hovermode: "x unified", dragmode: false,
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: true,
      legend: { orientation: "h", x: 0, xanchor: "left", y: 1.02, yanchor: "bottom", font: font(11.5) },
      hoverlabel: { bgcolor: token("--paper"), bordercolor: token("--rule"), font: font(12) },
      xaxis: { ...line, showgrid: false, showline: true, ...layout.xaxis, title: title(layout.xaxis.title.text) },
      yaxis: { ...line, ...layout.yaxis, title: title(layout.yaxis.title.text) },
    }, { ...config, displayModeBar: false });
  }

  listen() {
    for (const input of this.figure.querySelectorAll("input[type=radio]"))
      input.addEventListener("change", () => { this.view = input.value; this.draw(); });
  }
}

// -- the page --------------------------------------------------------------------------------------------

function drawable() {
  try { return Boolean(document.createElement("canvas").getContext("webgl")); } catch { return false; }
}

function figures() {
  const made = [], webgl = drawable();
  for (const figure of document.querySelectorAll("figure[data-scene]")) {
    const name = figure.dataset.scene, scene = page.scenes[name];
    if (webgl) made.push(scene.frames ? new Path(figure, scene) : new Clouds(figure, scene));
    else figure.querySelector("figcaption").append(" This browser offers no WebGL, so this is a still picture.");
  }
  for (const figure of document.querySelectorAll("figure[data-curve]"))
    made.push(new Curve(figure, page.curves[figure.dataset.curve]));
  const sets = made.filter((f) => f.figure.dataset.scene && f.figure.dataset.scene !== "path");
  for (const each of sets) each.twins = sets.filter((other) => other !== each);
  return made;
}

async function guarded(figure, action) {
  try { await action(); } catch (error) {
    figure.figure.classList.remove("live");
    report(`${figure.figure.id}: ${error && error.message}`);
  }
}

function report(message) {
  document.body.dataset.errors = (document.body.dataset.errors || "") + message + "\n";
}

function debounced(action, wait) {
  let timer = 0;
  return () => { clearTimeout(timer); timer = setTimeout(action, wait); };
}

async function main() {
  window.addEventListener("error", (event) => report(event.message));
  window.addEventListener("unhandledrejection", (event) => report(String(event.reason)));
  window.addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((d) => { d.open = true; }));
  const all = figures();
  for (const figure of all) {
    await guarded(figure, async () => { await figure.draw(); figure.listen(); });
    await new Promise((resolve) => setTimeout(resolve));
  }
  // A figure is drawn anew when its width is not the one it was drawn for, or when the scheme changes.
  const again = (changed) => all.forEach((f) => changed(f) && guarded(f, () => f.draw()));
  dark.addEventListener("change", () => again(() => true));
  const observer = new ResizeObserver(debounced(() => again((f) => f.width !== f.figure.clientWidth), 120));
  all.forEach((f) => observer.observe(f.figure));
  document.body.dataset.ready = String(document.querySelectorAll("figure.live").length);
}

main();
