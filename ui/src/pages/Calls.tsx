import { useTitle } from "../hooks";
import { t } from "../words";

export function Calls() {
  useTitle(t("nav.calls"));
  return (
    <header>
      <h1>{t("nav.calls")}</h1>
    </header>
  );
}
