// Elements, made without a word of HTML: what is given as text can only ever become text.

type Value = string | number | boolean | undefined | ((event: never) => void);
export type Attributes = Readonly<Record<string, Value>>;
export type Child = Node | string | number | null | undefined | false;

const SVG = "http://www.w3.org/2000/svg";

// h("button", { class: "quiet", onclick: () => ... }, "Fold"): functions listen, true is an empty attribute, false and
// undefined are none.
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[K] {
  return filled(document.createElement(tag), attributes, children);
}

export function svg<K extends keyof SVGElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: readonly Child[]
): SVGElementTagNameMap[K] {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

export function replace(element: Element, ...children: readonly Child[]): void {
  element.replaceChildren(...present(children));
}

// A number of things: "1 node", "12,000 nodes".
export function count(number: number, what: string, many = `${what}s`): string {
  return `${number.toLocaleString("en")} ${number === 1 ? what : many}`;
}

export function cut(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, most - 1)}…`;
}

function filled<E extends Element>(element: E, attributes: Attributes, children: readonly Child[]): E {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue;
    if (typeof value === "function") {
      element.addEventListener(name.replace(/^on/, ""), value as EventListener);
    } else if (/^on|^style$/.test(name)) {
      throw new Error(`the attribute ${name} would run or style text`);
    } else {
      element.setAttribute(name, value === true ? "" : String(value));
    }
  }
  element.append(...present(children));
  return element;
}

function present(children: readonly Child[]): (Node | string)[] {
  return children
    .filter((child): child is Node | string | number => child !== null && child !== undefined && child !== false)
    .map((child) => (typeof child === "number" ? String(child) : child));
}
