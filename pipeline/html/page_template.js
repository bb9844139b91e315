"use strict";
const SVG_NAMESPACE = "http://www.w3.org/2000/svg";
const SMALL_IMAGE_PIXELS = 160;  // narrower images are enlarged without smoothing, so that single pixels stay visible
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);

// Untrusted text becomes text nodes and attribute values only; no string is ever parsed as HTML.
function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

function svgElement(name, attributes) {
  const node = document.createElementNS(SVG_NAMESPACE, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
}

const pluralize = (count, one, many) => `${count} ${count === 1 ? one : many}`;
const clamp = (low, value, high) => Math.min(Math.max(value, low), high);

function imageElement(attributes) {
  const image = element("img", attributes);
  image.addEventListener("load", () => image.classList.toggle("small", image.naturalWidth < SMALL_IMAGE_PIXELS));
  return image;
}

// The SVG layer on top of an image. Its units are fractions of the image, like the edges of all boxes.
const boxOverlay = () => svgElement("svg", { viewBox: "0 0 1 1", preserveAspectRatio: "none", role: "img" });

// Edges are [min x, min y, max x, max y]. Returns the colored rectangle.
function addRectangle(overlay, edges, attributes) {
  // Edges far outside the image are invisible, and renderers lose precision there, so they are clamped.
  const [minX, minY, maxX, maxY] = edges.map((edge) => clamp(-1, edge, 2));
  const position = { x: minX, y: minY, width: maxX - minX, height: maxY - minY };
  overlay.prepend(svgElement("rect", { class: "edge", ...position }));  // below all rectangles, so that it hides none
  return overlay.appendChild(svgElement("rect", { ...attributes, ...position }));
}

// Text above or below a box; it moves into the box at the edge of the image.
function captionElement(text, kind, [minX, minY, maxX, maxY], isAbove) {
  const node = element("div", { class: `caption ${kind}`, title: text }, text);
  node.classList.toggle("above", isAbove ? minY > 0.08 : maxY > 0.92);
  node.style.top = `${clamp(0, isAbove ? minY : maxY, 1) * 100}%`;
  if (minX + maxX > 1.1) node.style.right = `${clamp(0, 1 - maxX, 1) * 100}%`;
  else node.style.left = `${clamp(0, minX, 1) * 100}%`;
  return node;
}
