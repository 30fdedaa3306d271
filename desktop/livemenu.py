"""A tray icon whose open menu survives a refresh.

pystray builds a new Gtk menu at each update, and the one that the user has open vanishes (pystray
issues 35 and 59). Here the menu is edited in place: labels, sensitivity and check marks change
under the cursor, a click runs what the row means now, and only rows that come or go move others. On
macOS every change goes to the main thread, which AppKit insists on.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import pystray


def icon_class() -> type[Any]:
    """The icon class for this system's backend."""
    backend = str(pystray.Icon.__module__).rpartition(".")[2]
    return LiveIcon if backend in ("_appindicator", "_gtk") else pystray.Icon


def on_main_thread() -> Callable[..., None]:
    """A function that runs `f(*args)` where icon and menu may be changed."""
    if sys.platform == "darwin":
        from PyObjCTools import AppHelper

        call: Callable[..., None] = AppHelper.callAfter
        return call

    def directly(function: Callable[..., None], *args: Any) -> None:
        function(*args)

    return directly


def shape(items: Any) -> Any:
    """What must stay equal for a menu to be edited in place rather than built anew."""
    if not items:
        return None
    return tuple(
        "-"
        if item is pystray.Menu.SEPARATOR
        else (item.checked is not None, item.radio, item.default, shape(item.submenu))
        for item in items
    )


def _same_but_below(before: tuple[Any, ...], after: tuple[Any, ...]) -> bool:
    """Whether rows differ only in what their submenus, which all of them have, are made of."""
    return (
        len(before) == len(after)
        and all(
            was[:-1] == now[:-1] and bool(was[-1]) and bool(now[-1])
            for was, now in zip(before, after, strict=True)
            if was != "-" != now
        )
        and "-" not in (*before, *after)
    )


class LiveIcon(pystray.Icon):  # type: ignore[misc]
    """pystray's Gtk icon with menu edits in place and its pictures in a folder of ours."""

    folder: Path | None = None
    _menu_handle: Any = None
    _shape: Any = None
    _muted = False

    def _update_menu(self) -> None:
        _idle(self._sync)

    def _sync(self) -> None:
        items = list(self.menu) if self.menu else []
        now = shape(items)
        if now == self._shape and self._menu_handle is not None:
            self._apply(self._menu_handle, items)
            return
        before, self._shape = self._shape, now
        if before and now and self._menu_handle is not None:
            self._reshape(self._menu_handle, before, items)
            self._apply(self._menu_handle, items)
            return
        self._menu_handle = self._create_menu(items)
        if hasattr(self, "_appindicator") and self._menu_handle is not None:
            self._appindicator.set_menu(self._menu_handle)

    def _reshape(self, menu: Any, before: tuple[Any, ...], items: list[Any]) -> None:
        """Put rows in and take rows out; the others stay, and so does a menu that is open."""
        children, after = menu.get_children(), shape(items)
        steps = SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
        # What stands before a step has its place already, so a row goes where it will stand.
        for what, old, old_end, new, new_end in steps:
            if what == "equal":
                continue
            if what == "replace" and _same_but_below(before[old:old_end], after[new:new_end]):
                for child, was, item in zip(
                    children[old:old_end], before[old:old_end], items[new:new_end], strict=True
                ):
                    self._reshape(child.get_submenu(), was[-1], list(item.submenu))
                continue
            for child in children[old:old_end]:
                menu.remove(child)
            for place in range(new, new_end):
                child = self._create_menu_item(items[place])
                menu.insert(child, place)
                child.show_all()

    def _create_menu_item(self, descriptor: Any) -> Any:
        item = super()._create_menu_item(descriptor)
        item.descriptor = descriptor
        return item

    def _handler(self, callback: Any) -> Any:
        # Gtk passes the item that was clicked; what it means now was left on it by `_edit`.
        return self._clicked

    def _clicked(self, item: Any, *_: Any) -> None:
        if self._muted:
            return
        try:
            item.descriptor(self)
        finally:
            self.update_menu()

    def _apply(self, menu: Any, items: list[Any]) -> None:
        for item, descriptor in zip(menu.get_children(), items, strict=True):
            if descriptor is not pystray.Menu.SEPARATOR:
                self._edit(item, descriptor)

    def _edit(self, item: Any, descriptor: Any) -> None:
        item.descriptor = descriptor
        if item.get_label() != descriptor.text:
            item.set_label(descriptor.text)
        if item.get_sensitive() != bool(descriptor.enabled):
            item.set_sensitive(bool(descriptor.enabled))
        if descriptor.checked is not None and item.get_active() != bool(descriptor.checked):
            # set_active counts as a click.
            self._muted = True
            try:
                item.set_active(bool(descriptor.checked))
            finally:
                self._muted = False
        if descriptor.submenu:
            self._apply(item.get_submenu(), list(descriptor.submenu))

    def _update_fs_icon(self) -> None:
        # One file a picture, named by its content: panels cache by name, and a tray that was
        # killed leaves nothing in /tmp.
        if self.folder is None:
            super()._update_fs_icon()
            return
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        name = hashlib.sha256(self.icon.tobytes()).hexdigest()[:16]
        path = self.folder / f"{name}.png"
        temporary = path.with_suffix(f".{os.getpid()}")
        self.icon.save(temporary, "PNG")
        temporary.replace(path)
        self._icon_path, self._icon_valid = str(path), True

    def _notify(self, message: str, title: str | None = None) -> None:
        def tell() -> None:
            # A desktop without a notification service is no reason to fail.
            with suppress(_glib_error(), OSError):
                self._notifier.notify(title or self.title, message, self._icon_path)

        _idle(tell)

    def _finalize(self) -> None:
        with suppress(_glib_error()):
            super()._finalize()


def _idle(function: Callable[[], None]) -> None:
    """Run on the main thread soon, once."""
    from gi.repository import GLib

    def once() -> bool:
        function()
        return False

    GLib.idle_add(once)


def _glib_error() -> type[Exception]:
    from gi.repository import GLib

    kind: type[Exception] = GLib.Error
    return kind
