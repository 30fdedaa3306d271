/** Where a call's work was: project, folder, branch, tags and remote, as far as they are known and shown. */
import type { CallDetail } from "../api";
import { joined, UNKNOWN } from "../format";
import { t } from "../words";
import { Facts } from "./Copy";

export function Place({ call }: { call: CallDetail }) {
  return (
    <Facts
      rows={[
        [t("calls.col.project"), said(call.project)],
        [t("call.folder"), <span key="f" title={call.cwd ?? undefined}>{said(call.relativeCwd ?? call.cwd)}</span>],
        [t("call.branch"), said(call.branch)],
        [t("filter.tag"), said(call.tags?.length ? joined(call.tags) : null)],
        [t("call.remote"), <span key="r" title={call.remoteHash ?? undefined}>{said(call.remoteLabel)}</span>],
      ]}
    />
  );
}

function said(text: string | null | undefined) {
  return text ? <bdi style={{ overflowWrap: "anywhere" }}>{text}</bdi> : UNKNOWN;
}
