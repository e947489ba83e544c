"use strict";
(async () => {
  const content = JSON.parse(document.getElementById("content").textContent);
  const MEMBERS = 10; // images shown of each class
  const GALLERY = 60; // images shown of a selection

  function make(tag, properties, ...children) {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  }

  function picture(point, className, caption) {
    const seen = content.images
      ? make("img", {src: content.images[point], alt: content.texts[point]})
      : make("div", {className: "numbers", textContent: content.numbers[point]});
    return make("figure", {className, title: content.texts[point]}, seen, make("figcaption", {textContent: caption}));
  }

  // Maps and curves

  const plots = []; // every Bokeh document
  async function draw(item, id) {
    await Bokeh.embed.embed_item(item, id);
    const plot = Bokeh.documents[Bokeh.documents.length - 1];
    plots.push(plot);
    return plot;
  }

  let from = null; // where the pointer was pressed
  let dragged = false;
  let selecting = false; // whether the selection is changed here, and not by the pointer
  document.addEventListener("pointerdown", (event) => { from = event; dragged = false; }, true);
  document.addEventListener("pointermove", (event) => {
    if (from && Math.hypot(event.clientX - from.clientX, event.clientY - from.clientY) > 5) dragged = true;
  }, true);
  function select(points) {
    selecting = true;
    for (const source of maps) source.selected.indices = points;
    selecting = false;
  }

  const maps = [];
  for (const [number, model] of content.models.entries()) {
    for (const [name, item] of Object.entries(model.maps)) {
      const plot = await draw(item, `map-${number}-${name}`);
      if (name === "PCA") plot.moment = number; // the map that a slider moves
      const source = plot.get_model_by_name("points");
      if (content.images) source.data = {...source.data, image: content.images};
      maps.push(source);
      source.selected.properties.indices.change.connect(() => {
        const chosen = source.selected.indices;
        if (selecting || !chosen.length) return;
        if (chosen.length === 1 || !dragged) choose(chosen[0]); // a tap may hit several that overlap
        else show(chosen);
      });
    }
  }
  for (const [number, item] of content.curves.entries()) await draw(item, `curve-${number}`);

  // Several observations, by a box, a lasso or a filter: the same in every map, and their pictures

  const gallery = document.getElementById("gallery");
  let shown = "";
  function show(points) {
    const key = points.join();
    if (key === shown) return;
    shown = key;
    current = -1;
    select(points);
    const pictures = points.slice(0, GALLERY).map((point) => picture(point, "", content.texts[point]));
    const count = points.length > GALLERY ? `${points.length} observations, of which ${GALLERY} are shown` : `${points.length} observations`;
    gallery.replaceChildren(make("p", {textContent: points.length ? `${count}:` : "No observation is so."}), ...pictures);
  }

  const filters = ["only-class", "only-episode", "least-step", "most-step"].map((id) => document.getElementById(id));
  function filter() {
    const [kind, episode, least, most] = filters.map((input) => (input && input.value !== "" ? Number(input.value) : null));
    if ([kind, episode, least, most].every((value) => value === null)) return clear();
    const points = [];
    for (let i = 0; i < content.texts.length; i++) {
      if (kind !== null && content.models[0].members[i] !== kind) continue;
      if (episode !== null && content.episodes[i] !== episode) continue;
      if (least !== null && content.steps[i] < least) continue;
      if (most !== null && content.steps[i] > most) continue;
      points.push(i);
    }
    show(points);
  }
  for (const input of filters) input?.addEventListener("input", filter);
  function clear() {
    shown = "";
    current = -1;
    for (const input of filters) if (input) input.value = "";
    select([]);
    gallery.replaceChildren();
  }
  document.getElementById("clear").addEventListener("click", clear);

  let current = -1;
  function choose(point) {
    if (point === current) return;
    current = point;
    shown = "";
    gallery.replaceChildren();
    observation.value = point + 1;
    select([point]);
    for (const [number, model] of content.models.entries()) {
      const near = model.neighbours[point].map((other, i) => {
        const apart = model.apart[point][i];
        return picture(other, apart ? "apart" : "", apart ? "× must be apart" : "");
      });
      document.getElementById(`card-${number}`).replaceChildren(
        make("p", {textContent: `Observation ${point + 1}: ${content.texts[point]}. Beside it, those with the nearest latents:`}),
        picture(point, "chosen", "chosen"), ...near);
    }
  }

  const observation = document.getElementById("observation");
  observation.addEventListener("input", () => {
    const point = observation.valueAsNumber - 1;
    if (Number.isInteger(point) && point >= 0 && point < content.texts.length) choose(point);
  });

  const colour = document.getElementById("colour");
  colour.addEventListener("change", () => {
    for (const plot of plots) {
      for (const glyph of plot.all_models) {
        if (glyph.type === "Scatter" && glyph.fill_color.field) glyph.fill_color = {field: `colour${colour.value}`};
      }
    }
    for (const legend of document.querySelectorAll(".legend")) legend.hidden = legend.dataset.colour !== colour.value;
  });

  const plane = document.getElementById("plane");
  function showPlane() {
    for (const map of document.querySelectorAll(".map")) map.hidden = Boolean(plane) && map.dataset.plane !== plane.value;
  }
  plane?.addEventListener("change", showPlane);
  showPlane();

  // The moments of a training: where the same observations lay then. The last place of the slider is the end.

  for (const [number, model] of content.models.entries()) {
    if (!model.moments.length) continue;
    const slider = document.getElementById(`moment-${number}`);
    const text = document.getElementById(`moment-${number}-text`);
    const plot = plots.find((one) => one.moment === number);
    const source = plot.get_model_by_name("points");
    const figure = plot.roots()[0];
    const end = {x: source.data.x, y: source.data.y, axes: [figure.below[0].axis_label, figure.left[0].axis_label], text: text.textContent};
    function places(moment) {
      const whole = new Uint16Array(Uint8Array.from(atob(moment.places), (letter) => letter.charCodeAt(0)).buffer);
      const count = whole.length / 2;
      const [x, y] = [0, 1].map((axis) =>
        Float64Array.from(whole.subarray(axis * count, (axis + 1) * count), (step) => moment.low[axis] + moment.span[axis] * step / 65535));
      return {...moment, x, y};
    }
    function move() {
      const moment = model.moments[slider.valueAsNumber];
      const shown = moment ? places(moment) : end;
      source.data = {...source.data, x: shown.x, y: shown.y};
      figure.below[0].axis_label = shown.axes[0];
      figure.left[0].axis_label = shown.axes[1];
      text.textContent = shown.text;
      slider.setAttribute("aria-valuetext", shown.text);
      if (plane && plane.value !== "PCA") { plane.value = "PCA"; showPlane(); }
    }
    slider.addEventListener("input", move);
    slider.setAttribute("aria-valuetext", end.text);
  }

  // Light and dark

  const dark = matchMedia("(prefers-color-scheme: dark)");
  function paint() {
    const style = getComputedStyle(document.documentElement);
    const [paper, ink, faint, line] = ["--paper", "--ink", "--faint", "--line"].map((name) => style.getPropertyValue(name));
    const looks = {
      Figure: {background_fill_color: paper, border_fill_color: paper, outline_line_color: line},
      LinearAxis: {axis_label_text_color: ink, major_label_text_color: faint, axis_line_color: faint,
        major_tick_line_color: faint, minor_tick_line_color: faint},
      Grid: {grid_line_color: line},
      Legend: {label_text_color: ink, background_fill_color: paper, border_line_color: line},
    };
    for (const plot of plots) for (const model of plot.all_models) if (looks[model.type]) model.setv(looks[model.type]);
  }
  dark.addEventListener("change", paint);
  paint();

  // The matrix of classes

  for (const matrix of document.querySelectorAll(".matrix")) {
    const rows = [...matrix.tBodies[0].rows].map((row) => [...row.querySelectorAll("td")].map((cell) => cell.querySelector("button")));
    const buttons = rows.flat().filter(Boolean);
    let pressed = null;
    if (buttons.length) buttons[0].tabIndex = 0;
    matrix.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      pressed?.removeAttribute("aria-pressed");
      pressed = button;
      button.setAttribute("aria-pressed", "true");
      go(button);
      showMembers(button);
    });
    matrix.addEventListener("keydown", (event) => {
      const [down, right] = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]}[event.key] ?? [0, 0];
      if (!down && !right) return;
      event.preventDefault();
      let i = rows.findIndex((row) => row.includes(event.target));
      let j = rows[i].indexOf(event.target);
      do { i += down; j += right; } while (rows[i] && rows[i][j] === null); // the diagonal is empty
      if (rows[i]?.[j]) go(rows[i][j]);
    });
    function go(button) {
      for (const other of buttons) other.tabIndex = -1;
      button.tabIndex = 0;
      button.focus();
    }
  }

  function showMembers(button) {
    const model = content.models[button.dataset.model];
    const parts = [make("p", {textContent: button.getAttribute("aria-label")})];
    for (const side of [button.dataset.left, button.dataset.right]) {
      const points = [];
      for (let i = 0; i < model.members.length && points.length < MEMBERS; i++) if (model.members[i] === Number(side)) points.push(i);
      parts.push(make("h4", {textContent: `Class ${model.classes[side]}`}),
        make("div", {className: "strip"}, ...points.map((point) => picture(point, "", ""))));
    }
    document.getElementById(`members-${button.dataset.model}`).replaceChildren(...parts);
  }

  document.documentElement.dataset.ready = "true"; // the plots are drawn
})();
