// Generated code, a line at a time, as coloured pieces: enough of Python, LLVM IR and assembly to be read with ease.

export type Token = [
  kind: "" | "comment" | "string" | "number" | "keyword" | "name" | "global" | "type" | "label",
  text: string,
];

const PYTHON =
  /(?<comment>#.*$)|(?<string>"""[^]*?(?:"""|$)|'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|(?<keyword>\b(?:and|as|def|del|elif|else|False|for|from|if|import|in|is|lambda|None|not|or|pass|raise|return|True|while|with|yield)\b)|(?<number>\b(?:0x[\da-f]+|\d+\.?\d*(?:e[+-]?\d+)?)\b)|(?<global>(?<=\bdef )\w+)|(?<name>\b[a-z_]\w*(?=\())/gi;

const LLVM =
  /(?<comment>;.*$)|(?<string>c?"(?:[^"\\]|\\.)*")|(?<label>^[\w.$-]+:)|(?<global>@(?:"[^"]*"|[\w.$-]+))|(?<name>%(?:"[^"]*"|[\w.$-]+))|(?<type>\b(?:i\d+|float|double|half|void|ptr|label|metadata|x)\b|<\d+ x)|(?<number>(?<![\w.])-?(?:0x[\da-f]+|\d+(?:\.\d+(?:e[+-]?\d+)?)?)\b)|(?<keyword>\b[a-z][a-z_]+\b)/gi;

const ASSEMBLY =
  /(?<comment>(?:#|\/\/).*$)|(?<string>"(?:[^"\\]|\\.)*")|(?<label>^\s*[\w.$@]+:)|(?<type>(?<=^\s*)\.\w+)|(?<keyword>(?<=^\s*)[a-z]\w*)|(?<name>%[a-z]\w*|\b(?:[er]?[abcd]x|[er]?[sd]i|[er]?[sb]p|r\d+[dwb]?|[xyz]mm\d+|k[0-7])\b)|(?<number>\$?-?(?<![\w.])(?:0x[\da-f]+|\d+)\b)/gi;

function patternOf(language: string): RegExp {
  if (/python/i.test(language)) return PYTHON;
  return /llvm/i.test(language) ? LLVM : ASSEMBLY;
}

const MOST = 2000; // characters of a line that are coloured: constants may be written out

export function tokens(line: string, language: string): Token[] {
  const found: Token[] = [];
  let last = 0;
  const head = line.slice(0, MOST);
  for (const match of head.matchAll(patternOf(language))) {
    const kind = Object.entries(match.groups ?? {}).find(([, text]) => text !== undefined)?.[0];
    if (match.index > last) found.push(["", head.slice(last, match.index)]);
    found.push([kind as Token[0], match[0]]);
    last = match.index + match[0].length;
  }
  if (last < line.length) found.push(["", line.slice(last)]);
  return found;
}
