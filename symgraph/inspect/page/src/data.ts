// The data that the page carries: gzip in base64, in script elements of types that no browser runs.

export async function carried(id: string): Promise<string> {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`the page carries no ${id}`);
  const packed = atob((element.textContent ?? "").trim());
  const bytes = Uint8Array.from(packed, (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}
