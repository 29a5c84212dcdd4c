// Tables of pages, sorted by their headers: a document never holds more rows than a page has.

import { el, replace, type Child } from "./parts";

export interface Column<Row> {
  title: string;
  cell: (row: Row) => Child | Child[];
  by?: (row: Row) => number | string | null; // makes the column sortable; null stands last
  numeric?: boolean;
  head?: boolean; // the cell that names the row
  wide?: boolean; // may wrap
}

export interface Table<Row> {
  readonly element: HTMLElement;
  show(rows: readonly Row[]): void;
  // Go to the page that has the row; returns its element, or null where there is none.
  reveal(wanted: (row: Row) => boolean): HTMLTableRowElement | null;
  // The rows of the page in sight, with their elements.
  shown(): [Row, HTMLTableRowElement][];
}

export interface TableOptions<Row> {
  caption: string;
  columns: Column<Row>[];
  rows: readonly Row[];
  page?: number;
  empty?: string;
  sorted?: [column: number, descending: boolean];
  each?: (row: Row, element: HTMLTableRowElement) => void;
  drawn?: () => void; // after each page
}

// A table of pages, sorted by the headers' buttons: no more rows in the document than a page has.
export function table<Row>(options: TableOptions<Row>): Table<Row> {
  const size = options.page ?? 50;
  let rows: readonly Row[] = options.rows;
  let ordered: readonly Row[] = rows;
  let order: [number, boolean] | null = options.sorted ?? null;
  let page = 0;
  let pageRows: [Row, HTMLTableRowElement][] = [];

  const body = el("tbody");
  const status = el("span", { class: "v-pages-at" });
  const turn = (label: string, by: () => number): HTMLButtonElement =>
    el("button", { type: "button", onclick: () => go(by()) }, label);
  const last = (): number => Math.max(0, Math.ceil(ordered.length / size) - 1);
  const first = turn("First", () => 0);
  const back = turn("Previous", () => page - 1);
  const forth = turn("Next", () => page + 1);
  const end = turn("Last", () => last());
  const pages = el(
    "nav",
    { class: "v-pages", "aria-label": `Pages of ${options.caption}` },
    first,
    back,
    status,
    forth,
    end,
  );
  const heads = options.columns.map((column, i) => head(column, i));
  const grid = el(
    "table",
    { class: "v-table" },
    el("caption", {}, options.caption),
    el("thead", {}, el("tr", {}, ...heads)),
    body,
  );
  const element = el(
    "div",
    { class: "v-tabled" },
    el("div", { class: "v-scroll", role: "group", tabindex: 0, "aria-label": `${options.caption}, may scroll` }, grid),
    pages,
  );

  function head(column: Column<Row>, i: number): HTMLElement {
    const by = column.by;
    const cell = el("th", { scope: "col", class: column.numeric ? "numeric" : undefined });
    if (by === undefined) {
      cell.append(column.title);
      return cell;
    }
    const button = el("button", { type: "button", class: "v-sort" }, column.title);
    button.addEventListener("click", () => {
      const again = order !== null && order[0] === i;
      order = [i, again ? !order?.[1] : column.numeric === true];
      page = 0;
      arrange();
    });
    cell.append(button);
    return cell;
  }

  function arrange(): void {
    heads.forEach((cell, i) => {
      if (options.columns[i]?.by === undefined) return;
      const mine = order !== null && order[0] === i;
      cell.setAttribute("aria-sort", !mine ? "none" : order?.[1] ? "descending" : "ascending");
    });
    const by = order === null ? undefined : options.columns[order[0]]?.by;
    ordered = by === undefined ? rows : sorted(rows, by, order?.[1] === true);
    go(page);
  }

  function go(to: number): void {
    page = Math.min(Math.max(0, to), last());
    pageRows = ordered.slice(page * size, (page + 1) * size).map((row) => [row, line(row)]);
    body.replaceChildren(...pageRows.map(([, element]) => element));
    if (ordered.length === 0) {
      body.append(
        el(
          "tr",
          {},
          el("td", { colspan: options.columns.length, class: "v-quiet" }, options.empty ?? "Nothing matches."),
        ),
      );
    }
    pages.hidden = ordered.length <= size;
    status.textContent = `${page * size + 1} to ${Math.min(ordered.length, (page + 1) * size)} of ${ordered.length.toLocaleString("en")}`;
    first.disabled = back.disabled = page === 0;
    forth.disabled = end.disabled = page === last();
    options.drawn?.();
  }

  function line(row: Row): HTMLTableRowElement {
    const element = el("tr");
    for (const column of options.columns) {
      const content = column.cell(row);
      const classes = [column.numeric ? "numeric" : "", column.wide ? "wide" : ""].filter(Boolean).join(" ");
      const cell = column.head
        ? el("th", { scope: "row", class: classes || undefined })
        : el("td", { class: classes || undefined });
      replace(cell, ...(Array.isArray(content) ? content : [content]));
      element.append(cell);
    }
    options.each?.(row, element);
    return element;
  }

  arrange();
  return {
    element,
    show(next) {
      rows = next;
      page = 0;
      arrange();
    },
    reveal(wanted) {
      const at = ordered.findIndex(wanted);
      if (at < 0) return null;
      if (Math.floor(at / size) !== page) go(Math.floor(at / size));
      return pageRows.find(([row]) => wanted(row))?.[1] ?? null;
    },
    shown: () => pageRows,
  };
}

// Sorted without change of `rows`; null stands last in both directions, and equal rows keep their order.
export function sorted<Row>(
  rows: readonly Row[],
  by: (row: Row) => number | string | null,
  descending: boolean,
): Row[] {
  const sign = descending ? -1 : 1;
  return rows
    .map((row) => ({ row, value: by(row) }))
    .sort((a, b) => {
      if (a.value === null || b.value === null) return a.value === b.value ? 0 : a.value === null ? 1 : -1;
      return a.value < b.value ? -sign : a.value > b.value ? sign : 0;
    })
    .map(({ row }) => row);
}
