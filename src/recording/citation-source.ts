import { type JsonRecord, filledText, present, presentExcept } from "./json-access.ts";
import type { TurnVerb } from "./turn-verb.ts";

type SourceVerb = Extract<TurnVerb, { verb: "source" }>;

const NAMED = ["type", "url", "title", "file_id", "filename", "cited_text", "start_index", "end_index"];

/**
 * A citation as a source. What all providers say of one has a common name; the rest stays as it was under the
 * provider's name.
 * @param provider the key in providerMetadata
 */
export function citationSource(provider: string, citation: JsonRecord): SourceVerb {
  const facts = present({ type: filledText(citation["type"]), ...presentExcept(citation, NAMED) });
  return {
    verb: "source",
    source: present({
      sourceType: filledText(citation["url"]) === undefined ? "document" : "url",
      url: citation["url"],
      title: citation["title"] ?? citation["document_title"],
      fileId: citation["file_id"],
      filename: citation["filename"],
      citedText: citation["cited_text"],
      startIndex: citation["start_index"],
      endIndex: citation["end_index"],
      providerMetadata: Object.keys(facts).length === 0 ? undefined : { [provider]: facts },
    }),
  };
}
