"use strict";
// Hands the page's figures to plotly. Every figure has a still picture, which stays where this fails.
const page = JSON.parse(document.getElementById("page-data").textContent);
const dark = matchMedia("(prefers-color-scheme: dark)");
const template = () => page.templates[dark.matches ? "dark" : "light"];
const report = (message) => { document.body.dataset.errors = (document.body.dataset.errors || "") + message + "\n"; };
const webgl = () => { try { return Boolean(document.createElement("canvas").getContext("webgl")); } catch { return false; } };

async function draw(figure) {
  const plot = figure.querySelector(".plot"), { data, layout, frames } = page.figures[figure.dataset.figure];
  const turns = "webgl" in figure.dataset;
  figure.classList.add("live");
  const config = { responsive: true, displaylogo: false, scrollZoom: false, plotlyServerURL: "", displayModeBar: turns, modeBarButtons: [["toImage"]] };
  const fit = () => data.map((trace) => trace.marker.size * plot.clientHeight / layout.height);
  const sizes = turns && fit();
  if (turns) data.forEach((trace, k) => { trace.marker.size = sizes[k]; });
  await Plotly.newPlot(plot, data, { ...layout, width: undefined, height: turns ? undefined : layout.height, autosize: true, template: template() }, config);
  if (frames) await Plotly.addFrames(plot, frames);
  dark.addEventListener("change", () => Plotly.relayout(plot, { template: template() }));
  if (turns) turn(figure, plot);
}

// Figures of one group turn together, under the mouse and by the arrow keys; + and - make them larger and smaller.
function turn(figure, plot) {
  const group = () => [...document.querySelectorAll("figure.live")].filter((f) => f.dataset.group && f.dataset.group === figure.dataset.group);
  const camera = () => plot._fullLayout.scene._scene.getCamera();
  const look = (eye, plots) => { for (const each of plots) Plotly.relayout(each, { "scene.camera.eye": eye }); };
  const others = () => group().filter((f) => f !== figure).map((f) => f.querySelector(".plot"));
  let held = false;
  plot.addEventListener("pointerdown", () => { held = true; });
  plot.on("plotly_relayouting", (change) => { if (held && change["scene.camera"]) look(change["scene.camera"].eye, others()); });
  // A scene glides on for a moment after the mouse is up, and does not tell where it comes to rest.
  plot.on("plotly_relayout", () => { if (held) setTimeout(() => { held = false; look(camera().eye, others()); }, 300); });
  plot.addEventListener("keydown", (event) => {
    const larger = { "+": 1.25, "=": 1.25, "-": 0.8 }[event.key], { x: wide, y: long, z: tall } = plot._fullLayout.scene.aspectratio;
    if (larger) for (const each of [plot, ...others()]) Plotly.relayout(each, { "scene.aspectratio": { x: larger * wide, y: larger * long, z: larger * tall } });
    const step = { ArrowLeft: [-0.2, 0], ArrowRight: [0.2, 0], ArrowUp: [0, 0.15], ArrowDown: [0, -0.15] }[event.key];
    const { x, y, z } = camera().eye, r = Math.hypot(x, y, z);
    if (!step || Math.hypot(x, y) < 1e-6) return;
    event.preventDefault();
    const around = Math.atan2(y, x) + step[0], up = Math.min(Math.max(Math.asin(z / r) + step[1], -1.4), 1.4);
    look({ x: r * Math.cos(up) * Math.cos(around), y: r * Math.cos(up) * Math.sin(around), z: r * Math.sin(up) }, [plot, ...others()]);
  });
}

async function main() {
  addEventListener("error", (event) => report(event.message));
  addEventListener("unhandledrejection", (event) => report(String(event.reason)));
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((d) => { d.open = true; }));
  const able = webgl();
  for (const figure of document.querySelectorAll("figure[data-figure]")) {
    if ("webgl" in figure.dataset && !able) {
      figure.querySelector("figcaption").append(" This browser offers no WebGL, so this is a still picture.");
      continue;
    }
    try { await draw(figure); } catch (error) { figure.classList.remove("live"); report(`${figure.id}: ${error && error.message}`); }
  }
  document.body.dataset.ready = String(document.querySelectorAll("figure.live").length);
}

main();
