// The view of labkit.widgets.PictureView: an image, and over it a region for each thing in it.

const SVG = "http://www.w3.org/2000/svg";

function made(name, options = {}, ...children) {
  const element = document.createElement(name);
  Object.assign(element, options);
  element.append(...children);
  return element;
}

function render({ model, el }) {
  const image = made("img");
  const canvas = document.createElementNS(SVG, "svg");
  const overlay = document.createElementNS(SVG, "g");
  const regions = document.createElementNS(SVG, "g");
  const details = made("div", { className: "details", hidden: true });
  const drawing = made("div", { className: "drawing" }, image, canvas, details);
  const watcher = new ResizeObserver(place);
  let address = "", drawn = 0;
  let box = null; // of the thing whose details are shown
  let which = 0; // of the things with the picked label: one can be drawn in two places

  details.setAttribute("role", "region");
  details.setAttribute("aria-label", "details");
  details.setAttribute("aria-live", "polite");
  canvas.append(overlay, regions);
  el.classList.add("labkit-picture");
  el.append(drawing);

  function pick(label) {
    model.set("picked", label);
    model.save_changes();
  }

  function close() {
    const same = labelled(model.get("picked"));
    (same[which] ?? same[0])?.focus(); // not lost with the button that was pressed
    pick("");
  }

  function toggle(area, label) {
    const same = labelled(label).indexOf(area);
    if (label === model.get("picked") && which === same) return close();
    which = same;
    if (label === model.get("picked")) mark();
    else pick(label);
  }

  function region(thing) {
    const [x, y, width, height] = thing.box;
    const shape = thing.path.length ? { points: thing.path.join(" ") } : { x, y, width, height, rx: 3 };
    const area = document.createElementNS(SVG, thing.path.length ? "polyline" : "rect");
    const attributes = { ...shape, role: "button", tabindex: 0, "aria-label": thing.label };
    for (const [name, value] of Object.entries(attributes)) area.setAttribute(name, value);
    area.addEventListener("click", () => toggle(area, thing.label));
    area.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      toggle(area, thing.label);
    });
    return area;
  }

  // The new image is decoded before it takes the old one's place: nothing flickers.
  async function draw() {
    const turn = ++drawn;
    const { png, alt, size, pixels, things } = model.get("shown");
    const next = made("img", { alt, width: pixels[0], height: pixels[1] });
    const url = URL.createObjectURL(new Blob([png], { type: "image/png" }));
    next.src = url;
    await next.decode().catch(() => {}); // an image that cannot be read shows its text
    if (turn !== drawn) return URL.revokeObjectURL(url);
    drawing.firstChild.replaceWith(next);
    URL.revokeObjectURL(address);
    address = url;
    const focused = regions.querySelector(":focus");
    const label = focused?.getAttribute("aria-label");
    const order = labelled(label).indexOf(focused);
    canvas.setAttribute("viewBox", `0 0 ${size[0]} ${size[1]}`);
    regions.replaceChildren(...things.map(region));
    labelled(label)[order]?.focus({ preventScroll: true });
    mark();
  }

  function labelled(label) {
    return [...regions.children].filter((area) => area.getAttribute("aria-label") === label);
  }

  function mark() {
    const label = model.get("picked");
    for (const area of regions.children) {
      area.setAttribute("aria-pressed", area.getAttribute("aria-label") === label);
    }
    const same = model.get("shown").things.filter((each) => each.label === label);
    const thing = same[which] ?? same[0];
    details.hidden = !thing || thing.details.length + thing.commands.length === 0;
    if (!details.hidden) describe(thing);
    box = details.hidden ? null : thing.box;
    place();
  }

  // The details lie beside their thing, right or left, or where there is no room, under it.
  function place() {
    el.style.minHeight = "";
    if (!box) return;
    const scale = drawing.clientWidth / model.get("shown").size[0];
    const [x, y, width, height] = box.map((points) => points * scale);
    const wide = drawing.clientWidth - details.offsetWidth;
    const right = x + width + 6, left = x - details.offsetWidth - 6;
    const beside = right <= wide ? right : left >= 0 ? left : null;
    const top = Math.min(y, Math.max(0, drawing.clientHeight - details.offsetHeight));
    details.style.left = `${beside ?? Math.max(0, Math.min(x, wide))}px`;
    details.style.top = `${beside === null ? y + height + 6 : top}px`;
    el.style.minHeight = `${details.offsetTop + details.offsetHeight + 8}px`;
  }

  function describe(thing) {
    const button = made("button", { textContent: "×", title: "Close", onclick: close });
    button.setAttribute("aria-label", "Close the details");
    const rows = made("dl");
    for (const [name, value] of thing.details) {
      rows.append(made("dt", { textContent: name }), made("dd", { textContent: value }));
    }
    details.replaceChildren(button, made("h4", { textContent: thing.label }), rows);
    if (thing.commands.length) {
      const text = thing.commands.join("\n");
      const where = thing.host ? `On ${thing.host}, this shows it:` : "This shows it:";
      details.append(made("p", { textContent: where }), made("pre", { textContent: text }));
    }
  }

  function escape(event) {
    if (event.key === "Escape" && model.get("picked")) close();
  }

  function lay() {
    overlay.innerHTML = model.get("overlay");
  }

  el.addEventListener("keydown", escape);
  model.on("change:shown", draw);
  model.on("change:picked", mark);
  model.on("change:overlay", lay);
  watcher.observe(details); // it has a size when its tab is shown
  watcher.observe(drawing);
  lay();
  draw();
  return () => {
    model.off("change:shown", draw);
    model.off("change:picked", mark);
    model.off("change:overlay", lay);
    watcher.disconnect();
    drawn = -1;
    URL.revokeObjectURL(address);
  };
}

export default { render };
