"use strict";
(() => {
  const DIRECTORY = -2, SEVERAL = -1, DEPTH = 8, HEAD = 15;
  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId("data").textContent);
  byId("name").textContent = document.title;

  const make = (tag, text, classes) => {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    if (classes) element.className = classes;
    return element;
  };
  const size = (bytes) => {
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let unit = 0;
    for (; bytes >= 1024 && unit < units.length - 1; unit++) bytes /= 1024;
    return (unit ? bytes.toFixed(2) : bytes) + " " + units[unit];
  };
  const colour = (layer) => layer < 0 ? "var(--folder)" : "hsl(" + (layer * 137.5 + 205) % 360 + " 50% var(--tile))";

  // The files: a list in which a directory stands before what is in it.
  const directories = data.nodes.map(([above, name, bytes, layer, files], at) =>
    ({ above, at, name, bytes, layer, files, inside: [], parent: null }));
  for (const node of directories.slice(1)) {
    node.parent = directories[node.above];
    node.parent.inside.push(node);
  }

  // The same below their layers: each directory once for each layer that has something in it.
  const layers = { name: "/", bytes: 0, layer: DIRECTORY, files: 0, inside: [], parent: null };
  const copies = new Map();
  const copy = (directory, layer) => {
    const way = [];
    let at = directory, found;
    for (; at; at = at.parent) {
      found = copies.get(layer + ":" + at.at);
      if (found) break;
      way.push(at);
    }
    for (const next of way.reverse()) {
      const name = next.parent ? next.name : layer < 0 ? "several layers" : layer < data.layers.length ? "layer " + (layer + 1) : "not in the image";
      const made = { name, bytes: 0, layer: DIRECTORY, files: 0, inside: [], parent: found || layers, of: layer };
      made.parent.inside.push(made);
      copies.set(layer + ":" + next.at, made);
      found = made;
    }
    return found;
  };
  for (const node of directories) {
    if (node.layer === DIRECTORY || !node.parent) continue;
    const parent = copy(node.parent, node.layer);
    parent.inside.push({ ...node, parent, inside: [] });
    for (let above = parent; above; above = above.parent) {
      above.bytes += node.bytes;
      above.files += node.files;
    }
  }
  for (const all of [directories, [layers, ...copies.values()]])
    for (const node of all) node.inside.sort((one, other) => other.bytes - one.bytes);

  // What a directory has the most of, for where there is no room to draw what is in it.
  for (const node of [...directories].reverse())
    node.most = node.layer === DIRECTORY ? (node.inside.length ? node.inside[0].most : SEVERAL) : node.layer;

  const label = (node) => node.name || node.files + " smaller file" + (node.files === 1 ? "" : "s");
  const path = (node) => {
    const names = [];
    for (let at = node; at.parent; at = at.parent) names.unshift(label(at));
    return "/" + names.join("/");
  };
  const details = (node) => {
    const lines = [path(node), size(node.bytes)];
    if (node.layer === DIRECTORY) lines[1] += ", " + node.files + " files";
    const layer = node.layer === DIRECTORY ? node.of : node.layer;
    if (layer >= data.layers.length && data.layered) lines.push("not in the image");
    else if (layer >= 0 && data.layered) lines.push("layer " + (layer + 1) + "  " + (data.layers[layer] || ""));
    else if (layer === SEVERAL && data.layered) lines.push("several layers");
    byId("details").textContent = lines.join("\n");
  };

  // Squarified: rows along the shorter side, each with as many rectangles as keep them near squares.
  const squarified = (nodes, x, y, width, height) => {
    const all = nodes.reduce((sum, node) => sum + node.bytes, 0);
    const placed = [];
    if (!(all > 0) || width <= 0 || height <= 0) return placed;
    const scale = width * height / all;
    const worst = (largest, smallest, sum, side) =>
      Math.max(side * side * largest / (sum * sum), sum * sum / (side * side * smallest));
    for (let at = 0; at < nodes.length;) {
      const side = Math.min(width, height);
      let sum = nodes[at].bytes * scale, end = at + 1;
      const largest = sum;
      if (side < 1) break;
      for (; end < nodes.length; end++) {
        const next = nodes[end].bytes * scale;
        const before = worst(largest, nodes[end - 1].bytes * scale, sum, side);
        if (!(next > 0) || worst(largest, next, sum + next, side) > before) break;
        sum += next;
      }
      const thick = sum / side;
      let offset = 0;
      for (; at < end; at++) {
        const long = nodes[at].bytes * scale / thick;
        placed.push(width >= height
          ? [nodes[at], x, y + offset, thick, long]
          : [nodes[at], x + offset, y, long, thick]);
        offset += long;
      }
      if (width >= height) { x += thick; width -= thick; } else { y += thick; height -= thick; }
      if (at < nodes.length && !(nodes[at].bytes > 0)) break;
    }
    return placed;
  };

  const treemap = byId("treemap");
  let current = directories[0], focused = 0, tops = [];
  const draw = (into, nodes, box, depth, top) => {
    for (const [node, x, y, width, height] of squarified(nodes, ...box)) {
      if (width < 3 || height < 3) continue;
      const isFolder = node.layer === DIRECTORY;
      const tile = make("div", undefined, isFolder ? "tile folder" : "tile");
      const { style } = tile;
      style.left = x + "px"; style.top = y + "px"; style.width = width + "px"; style.height = height + "px";
      const isOpen = isFolder && depth < DEPTH && width > 30 && height > 30;
      if (!isOpen) style.background = colour(isFolder ? node.of ?? node.most : node.layer);
      if (width > 24 && height > HEAD) {
        const number = data.layered && node.layer >= 0 && node.layer < data.layers.length ? " " + (node.layer + 1) : "";
        tile.append(make("span", label(node) + number));
      }
      const above = top || node;
      tile.addEventListener("mouseover", (event) => { event.stopPropagation(); details(node); });
      tile.addEventListener("click", (event) => { event.stopPropagation(); open(above); });
      if (!top) {
        tile.tabIndex = tops.length === 0 ? 0 : -1;
        tile.setAttribute("role", "button");
        tile.setAttribute("aria-label", label(node) + ", " + size(node.bytes));
        const number = tops.push({ tile, node }) - 1;
        tile.addEventListener("focus", () => { focused = number; details(node); });
      }
      into.append(tile);
      if (isOpen)
        draw(tile, node.inside, [1, HEAD, width - 4, height - HEAD - 3], depth + 1, above);
    }
  };
  const focus = (number) => {
    if (!tops.length) return;
    number = Math.max(0, Math.min(tops.length - 1, number));
    for (const { tile } of tops) tile.tabIndex = -1;
    tops[number].tile.tabIndex = 0;
    tops[number].tile.focus();
  };
  const render = () => {
    treemap.replaceChildren();
    tops = [];
    focused = 0;
    draw(treemap, current.inside, [0, 0, treemap.clientWidth, treemap.clientHeight], 0, null);
    const way = byId("way");
    way.replaceChildren();
    for (let at = current; at; at = at.parent) {
      const button = make("button", at.name || "/");
      button.type = "button";
      const target = at;
      button.addEventListener("click", () => open(target));
      way.prepend(button);
    }
    details(current);
  };
  function open(node) {
    if (node.layer !== DIRECTORY || !node.inside.length) return;
    current = node;
    render();
  }
  treemap.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (step) focus(focused + step);
    else if (event.key === "Home") focus(0);
    else if (event.key === "End") focus(tops.length - 1);
    else if ((event.key === "Enter" || event.key === " ") && tops[focused]) { open(tops[focused].node); focus(0); }
    else if (event.key === "Backspace" || event.key === "Escape") {
      const left = current;
      if (!current.parent) return;
      open(current.parent);
      focus(tops.findIndex(({ node }) => node === left));
    } else return;
    event.preventDefault();
  });
  const show = (root) => {
    byId("by-directory").setAttribute("aria-pressed", String(root === directories[0]));
    byId("by-layer").setAttribute("aria-pressed", String(root === layers));
    current = root;
    render();
  };
  byId("by-layer").hidden = !data.layered;
  byId("by-directory").addEventListener("click", () => show(directories[0]));
  byId("by-layer").addEventListener("click", () => show(layers));
  window.addEventListener("resize", render);
  render();

  // The map of the disk.
  const { kinds, lines, cell_bytes: cell } = data.map;
  const fill = (element, kind) => {
    if (kind.empty) element.className = "empty";
    else element.style.background = kind.layer === null ? "var(--line)" : colour(kind.layer);
  };
  let position = 0;
  for (const runs of lines) {
    const line = make("div");
    let count = 0;
    for (const [number, cells] of runs) {
      const kind = kinds[number], begin = position * cell;
      const run = make("span", kind.letter);
      run.style.flex = cells + " " + cells + " 0";
      fill(run, kind);
      const text = size(begin) + " to " + size(begin + cells * cell) + ": " + kind.meaning;
      run.addEventListener("mouseover", () => { byId("place").textContent = text; });
      line.append(run);
      position += cells;
      count += cells;
    }
    const columns = lines[0].reduce((sum, [, cells]) => sum + cells, 0);
    if (count < columns) {
      const rest = make("span");
      rest.style.flex = (columns - count) + " " + (columns - count) + " 0";
      line.append(rest);
    }
    byId("map").append(line);
  }
  for (const kind of kinds) {
    const item = make("li");
    const mark = make("b", kind.letter);
    fill(mark, kind);
    item.append(mark, size(kind.bytes) + "  " + kind.meaning);
    byId("legend").append(item);
  }
})();
