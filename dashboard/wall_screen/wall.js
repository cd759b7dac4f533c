// Changes in place what has changed. What people typed is text here, never HTML.
const SVG = "http://www.w3.org/2000/svg";
const SHAPES = {
  circle: "M-1 0A1 1 0 1 1 1 0A1 1 0 1 1 -1 0Z",
  square: "M-.9-.9H.9V.9H-.9Z",
  diamond: "M0-1.25L1 0L0 1.25L-1 0Z",
  cross: "M-.35-1.05H.35V-.35H1.05V.35H.35V1.05H-.35V.35H-1.05V-.35H-.35Z",
  "triangle-up": "M-1.15 1L0-1L1.15 1Z",
  "triangle-down": "M-1.15-1L0 1L1.15-1Z",
  "triangle-right": "M-1-1.15L1 0L-1 1.15Z",
};

export default function ({ data, parentElement, setTriggerValue }) {
  const wall = parentElement.querySelector(".wall");
  const shown = JSON.parse(new TextDecoder().decode(data));

  each(wall.querySelector(".badges"), shown.badges, badge);
  each(wall.querySelector(".strips"), shown.strips, (figure, strip) => {
    picture(figure.querySelector("img"), strip.picture, strip.says);
    set(figure.querySelector("img"), "width", strip.size[0]);
    set(figure.querySelector("img"), "height", strip.size[1]);
    text(figure, ".missing", strip.picture ? "" : strip.missing);
    text(figure, ".facts", strip.facts);
    text(figure, ".warning", strip.warning && `· ${strip.warning}`);
  });
  each(wall.querySelector(".maps"), shown.maps, (place, map) => {
    const drawn = JSON.stringify(map);
    if (place.drawn !== drawn) draw(place, map);
    place.drawn = drawn;
  });

  text(wall, ".heading h2", shown.roll);
  way(wall.querySelector(".heading .way"), shown.way);
  each(wall.querySelector(".figures"), shown.figures, (card, figure) => {
    text(card, ".name", figure.name);
    text(card, "dd", figure.value);
    const help = card.querySelector(".icon");
    help.hidden = !figure.explained;
    set(help, "title", figure.explained);
    set(help, "aria-label", figure.explained);
  });
  text(wall, ".latest", shown.latest);
  text(wall, ".none", shown.defects.length ? "" : shown.none);
  each(wall.querySelector(".defects"), shown.defects, (card, defect) => {
    picture(card.querySelector("img"), defect.picture, defect.says);
    badge(card.querySelector(".badge"), defect.state);
    for (const name of ["strong", ".place", ".seen"]) text(card, name, defect[name.replace(".", "")] ?? defect.strength);
    way(card.querySelector(".way"), defect.way);
  });

  function way(link, to) {
    link.hidden = !to;
    if (!to) return;
    text(link, ".text", to.label);
    set(link, "href", to.to);
    link.onclick = (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return; // into a window of its own
      event.preventDefault();
      setTriggerValue("way", to.to);
    };
  }
}

// As many copies of the place's template as there are items, each filled with its own.
function each(place, items, fill) {
  const template = place.querySelector(":scope > template");
  const there = [...place.children].filter((child) => child !== template);
  while (there.length > items.length) there.pop().remove();
  while (there.length < items.length) {
    there.push(place.appendChild(template.content.firstElementChild.cloneNode(true)));
  }
  items.forEach((item, number) => fill(there[number], item));
}

function text(place, name, said) {
  const element = place.querySelector(name);
  if (element.textContent !== said) element.textContent = said;
}

function set(element, name, value) {
  if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

function picture(image, source, says) {
  image.hidden = !source;
  if (source) set(image, "src", source);
  set(image, "alt", says);
}

function badge(element, { text: said, icon, colour }) {
  set(element, "style", `color: var(--st-${colour}-text-color); background: var(--st-${colour}-background-color)`);
  text(element, ".icon", icon);
  text(element, ".text", said);
}

function draw(place, map) {
  const [severity, form, along, across] = map.titles;
  const titles = place.querySelectorAll(".title");
  titles[0].textContent = severity;
  titles[1].textContent = form;
  titles[1].hidden = !map.forms.length;
  text(place, ".along-title", along);
  text(place, ".across-title", across);
  each(place.querySelector(".severities"), map.severities, (entry, { name, colour, rim }) => {
    entry.querySelector("i").replaceChildren(key("circle", { colour, rim }));
    text(entry, "b", name);
  });
  each(place.querySelector(".forms"), map.forms, (entry, { name, shape }) => {
    entry.querySelector("i").replaceChildren(key(shape, { colour: "var(--grey)", rim: 0 }));
    text(entry, "b", name);
  });
  each(place.querySelector(".along"), map.along, (tick, [x, label]) => {
    tick.textContent = label;
    tick.style.left = `${x}%`;
  });
  each(place.querySelector(".across"), map.across, (tick, [y, label]) => {
    tick.textContent = label;
    tick.style.top = `${y}%`;
  });

  const plot = made("svg", { role: "img", "aria-label": map.says });
  const area = (name, [x, y, width, height]) =>
    made("rect", { class: name, x: `${x}%`, y: `${y}%`, width: `${width}%`, height: `${height}%` });
  for (const lane of map.lanes) plot.append(area("lane", lane));
  for (const gap of map.gaps) {
    const hatched = area("hatched", gap);
    hatched.append(titled(gap[4]));
    plot.append(area("gap", gap), hatched);
  }
  const lines = made("svg", { viewBox: "0 0 100 100", preserveAspectRatio: "none" });
  for (const hits of map.series) lines.append(made("polyline", { points: hits.join(" ") }));
  plot.append(lines);
  for (const [x, y, radius, kind, shape, hollow, says] of map.marks) {
    const drawn = mark(`${x}%`, `${y}%`, radius, map.forms[shape].shape, map.severities[kind], hollow);
    drawn.append(titled(says));
    plot.append(drawn);
  }
  place.querySelector(".plot").replaceChildren(plot);
}

function mark(x, y, radius, shape, { colour, rim }, hollow = false) {
  const place = made("svg", { x, y, overflow: "visible" });
  const style = `fill: ${colour}; fill-opacity: ${hollow ? 0 : 0.85}; stroke: ${colour}; stroke-width: ${rim}`;
  place.append(made("path", { d: SHAPES[shape], transform: `scale(${radius})`, style }));
  return place;
}

function key(shape, severity) {
  const place = made("svg", { viewBox: "-6 -6 12 12", "aria-hidden": "true", overflow: "visible" });
  place.append(mark(0, 0, 4, shape, severity));
  return place;
}

function titled(says) {
  const title = made("title", {});
  title.textContent = says;
  return title;
}

function made(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}
