// The parts of the page.

export const part = (id) => document.getElementById(id);
export const show = (id, shown = true) => (part(id).hidden = !shown);

export function element(tag, text, attributes = {}) {
  const made = Object.assign(document.createElement(tag), attributes);
  made.textContent = text;
  return made;
}
