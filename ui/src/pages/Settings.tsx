import { useTitle } from "../hooks";
import { t } from "../words";

export function Settings() {
  useTitle(t("nav.settings"));
  return (
    <header>
      <h1>{t("nav.settings")}</h1>
    </header>
  );
}
