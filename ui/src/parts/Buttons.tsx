/** The foot of a form in a dialog: leave, or do it. */
import { t } from "../words";

interface Props {
  close: () => void;
  busy: boolean;
  word: string;
  danger?: boolean;
}

export function Buttons({ close, busy, word, danger = false }: Props) {
  return (
    <div className="buttons">
      <button type="button" onClick={close}>
        {t("do.cancel")}
      </button>
      <button type="submit" className={danger ? "danger" : "primary"} disabled={busy}>
        {word}
      </button>
    </div>
  );
}
