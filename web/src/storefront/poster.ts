import { html, type TemplateResult } from 'lit';

/** How many colors there are in the style sheet. */
const HUES = 8;

/** A title has no picture: its initials on a color that is always the same for it. */
export function poster(id: string, name: string): TemplateResult {
  let sum = 0;
  for (const letter of id) sum = (sum * 31 + (letter.codePointAt(0) ?? 0)) % 9_973;
  const initials = name
    .split(/[^\p{L}\p{N}]+/u)
    .filter((word) => word !== '')
    .slice(0, 3)
    .map((word) => [...word][0]?.toUpperCase() ?? '')
    .join('');
  return html`<span class="poster hue-${sum % HUES}" aria-hidden="true">${initials}</span>`;
}
