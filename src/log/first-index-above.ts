/** Index of the first item whose value is above `most`, by halves: their number where there is none. Values rise. */
export function firstIndexAbove<Item>(
  items: readonly Item[],
  most: number,
  valueOf: (item: Item) => number,
): number {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const item = items[middle];
    if (item === undefined || valueOf(item) > most) high = middle;
    else low = middle + 1;
  }
  return low;
}
