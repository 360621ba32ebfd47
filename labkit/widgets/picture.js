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
  const watcher = new ResizeObserver(makeRoom);
  let address = "", drawn = 0;

  details.setAttribute("role", "region");
  details.setAttribute("aria-label", "details");
  details.setAttribute("aria-live", "polite");
  canvas.append(overlay, regions);
  el.classList.add("labkit-picture");
  el.setAttribute("data-lm-suppress-shortcuts", "true"); // Enter is ours here, not the notebook's
  el.append(drawing);

  function pick(label) {
    model.set("picked", label);
    model.save_changes();
  }

  function close() {
    find(model.get("picked"))?.focus(); // not lost with the button that was pressed
    pick("");
  }

  function toggle(label) {
    if (label === model.get("picked")) close();
    else pick(label);
  }

  function region(thing) {
    const rect = document.createElementNS(SVG, "rect");
    const [x, y, width, height] = thing.box;
    const attributes = { x, y, width, height, rx: 3, role: "button", tabindex: 0, "aria-label": thing.label };
    for (const [name, value] of Object.entries(attributes)) rect.setAttribute(name, value);
    rect.addEventListener("click", () => toggle(thing.label));
    rect.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      toggle(thing.label);
    });
    return rect;
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
    const focused = regions.querySelector("rect:focus")?.getAttribute("aria-label");
    canvas.setAttribute("viewBox", `0 0 ${size[0]} ${size[1]}`);
    regions.replaceChildren(...things.map(region));
    if (focused) find(focused)?.focus({ preventScroll: true });
    mark();
  }

  function find(label) {
    return [...regions.children].find((rect) => rect.getAttribute("aria-label") === label);
  }

  function mark() {
    const label = model.get("picked");
    for (const rect of regions.children) {
      rect.setAttribute("aria-pressed", rect.getAttribute("aria-label") === label);
    }
    const { size, things } = model.get("shown");
    const thing = things.find((each) => each.label === label);
    details.hidden = !thing || thing.details.length + thing.commands.length === 0;
    if (!details.hidden) describe(thing, size);
    makeRoom();
  }

  // The details of a thing at the bottom reach beyond the picture; in a hidden tab they have no size.
  function makeRoom() {
    el.style.minHeight = details.hidden ? "" : `${details.offsetTop + details.offsetHeight + 8}px`;
  }

  function describe(thing, [width, height]) {
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
    const [x, y, , tall] = thing.box;
    details.style.left = `min(${(100 * x) / width}%, max(0px, 100% - 26em))`;
    details.style.top = `calc(${(100 * (y + tall)) / height}% + 6px)`;
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
  watcher.observe(details);
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
