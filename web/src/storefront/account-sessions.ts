import { html, nothing, type TemplateResult } from 'lit';
import { set } from './account.ts';
import './acts.ts';
import { Part } from './page.ts';
import { navigate } from './router.ts';
import { type LoginSession, shop } from './shop.ts';
import { date } from './wording.ts';

/** Where the account is signed in: one is ended, or all. */
export class AccountSessions extends Part {
  static override properties = { ...Part.properties, sessions: { state: true }, done: { state: true } };

  declare sessions: LoginSession[] | undefined;
  declare done: string;

  constructor() {
    super();
    this.done = '';
  }

  override connectedCallback(): void {
    super.connectedCallback();
    void this.load();
  }

  private load(): Promise<boolean> {
    return this.attempt(
      async () => {
        this.sessions = await shop.sessions();
      },
      () => void this.load(),
    );
  }

  private async end(session: LoginSession): Promise<void> {
    await this.attempt(async () => {
      await shop.endSession(session.id);
      if (session.current) return this.left();
      this.sessions = await shop.sessions();
      this.done = 'Signed out there.';
    });
  }

  private async endAll(): Promise<void> {
    await this.attempt(async () => {
      await shop.endSessions();
      this.left();
    });
  }

  private left(): void {
    set(undefined);
    navigate('/sign-in', true);
  }

  protected override render(): TemplateResult {
    return html`<h2>Where you are signed in</h2>
      ${this.alert()}
      <p role="status" class="said">${this.done}</p>
      ${this.list()}`;
  }

  private list(): TemplateResult | typeof nothing {
    const { sessions } = this;
    if (sessions === undefined) return this.waiting();
    return html`<ul class="rows">
        ${sessions.map((session) => html`<li class="session">${this.row(session)}</li>`)}
      </ul>
      <p>
        <careful-button
          id="end-all"
          text="Sign out everywhere"
          question="You will be signed out here too."
          confirm="Sign out everywhere"
          ?disabled=${this.busy}
          @confirmed=${this.endAll}
        ></careful-button>
      </p>`;
  }

  private row(session: LoginSession): TemplateResult {
    const name = agentInWords(session.agent);
    return html`<span class="grow">
        <strong title=${session.agent ?? ''}>${name}</strong>
        ${session.current ? html`<span class="badge">Here</span>` : nothing}<br />
        <span class="quiet">Since ${date(session.created_at_ms)}, until ${date(session.expires_at_ms)} at the latest</span>
      </span>
      <button
        class="second end"
        ?disabled=${this.busy}
        aria-label=${`Sign out: ${name}, since ${date(session.created_at_ms)}`}
        @click=${() => this.end(session)}
      >
        Sign out
      </button>`;
  }
}

const BROWSERS: [RegExp, string][] = [
  [/Edg\//, 'Edge'],
  [/Firefox\//, 'Firefox'],
  [/Chrom(e|ium)\//, 'Chromium'],
  [/Safari\//, 'Safari'],
];
const SYSTEMS: [RegExp, string][] = [
  [/Android/, 'Android'],
  [/iPhone|iPad/, 'iOS'],
  [/Windows/, 'Windows'],
  [/Mac OS X/, 'macOS'],
  [/Linux/, 'Linux'],
];

/** `Firefox on Linux`; what says something else is shown as it is. */
export function agentInWords(agent: string | null): string {
  if (agent === null || agent === '') return 'A program';
  const browser = BROWSERS.find(([pattern]) => pattern.test(agent))?.[1];
  const system = SYSTEMS.find(([pattern]) => pattern.test(agent))?.[1];
  if (browser === undefined) return agent.slice(0, 60);
  return system === undefined ? browser : `${browser} on ${system}`;
}

customElements.define('account-sessions', AccountSessions);
