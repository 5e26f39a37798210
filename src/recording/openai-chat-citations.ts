import { citationSource } from "./citation-source.ts";
import { type JsonRecord, filledText, isRecord, list, record, text } from "./json-access.ts";
import type { TurnVerb } from "./turn-verb.ts";

/** The citations of one chat message, each once: some providers repeat the whole list in every chunk. */
export class ChatCitations {
  readonly #cited = new Set<string>();

  /** An element of `delta.annotations`. */
  annotation(annotation: unknown): TurnVerb[] {
    const { type, ...fields } = record(annotation);
    // OpenAI nests the citation under its type's name; some others do not.
    const nested = fields[text(type)];
    return this.#once({ type, ...(isRecord(nested) ? nested : fields) });
  }

  /** Documents that Azure found in the caller's own data: `delta.context`. */
  context(context: unknown): TurnVerb[] {
    return list(record(context)["citations"])
      .filter(isRecord)
      .flatMap((citation) => this.#once(citation));
  }

  /**
   * Lists beside the choices: Perplexity's and xAI's, addresses or search results that say more of them, and
   * Zhipu's, which calls the address a link.
   */
  ofChunk(chunk: JsonRecord): TurnVerb[] {
    const lists = ["search_results", "citations", "web_search"].flatMap((field) => list(chunk[field]));
    return lists.flatMap((entry) => {
      const citation = isRecord(entry) ? entry : { url: entry };
      const url = filledText(citation["url"]) ?? filledText(citation["link"]);
      if (url === undefined || this.#cited.has(url)) return [];
      this.#cited.add(url);
      const { link: _link, ...fields } = citation;
      return [citationSource("openai", { ...fields, url })];
    });
  }

  #once(citation: JsonRecord): TurnVerb[] {
    const key = JSON.stringify(citation);
    if (this.#cited.has(key)) return [];
    this.#cited.add(key);
    const { content, filepath, ...rest } = citation;
    return [
      citationSource("openai", {
        ...rest,
        filename: rest["filename"] ?? filepath,
        cited_text: rest["cited_text"] ?? content,
      }),
    ];
  }
}
