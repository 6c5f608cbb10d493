import { html, type TemplateResult } from 'lit';
import { PASSWORD_CHARACTERS_MIN } from './sign_in_ways.ts';

/** Where the password is typed that takes the place of the one before. */
export function newPassword(name: string): TemplateResult {
  return html`
    <label>
      New password
      <input
        name=${name}
        type="password"
        required
        minlength=${PASSWORD_CHARACTERS_MIN}
        maxlength="256"
        autocomplete="new-password"
        aria-describedby=${`${name}-rule`}
      />
    </label>
    <p class="quiet hint" id=${`${name}-rule`}>
      At least ${PASSWORD_CHARACTERS_MIN} characters. You are signed out everywhere else.
    </p>
  `;
}
