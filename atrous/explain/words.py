"""The words in a picture, in English, Chinese and Korean; the page has its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

LANGUAGES = ("en", "zh", "ko")
PHRASES = {
    "input": ("input", "输入", "입력"),
    "output": ("output", "输出", "출력"),
    "weight": ("weight", "权重", "가중치"),
    "bias": ("bias", "偏置", "편향"),
    "sum": ("sum", "求和", "합"),
    "depth": ("depth", "深度", "깊이"),
    "height": ("height", "高度", "높이"),
    "width": ("width", "宽度", "너비"),
    "channel": ("channel {n}", "通道 {n}", "채널 {n}"),
    "short": ("ch. {n}", "通道 {n}", "채널 {n}"),
    "place": ("output {n}", "输出 {n}", "출력 {n}"),
    "slice": ("depth {n}", "深度 {n}", "깊이 {n}"),
    "channel_slice": (
        "channel {channel}, depth {n}",
        "通道 {channel}，深度 {n}",
        "채널 {channel}, 깊이 {n}",
    ),
    "to": ("to channel {n}", "到通道 {n}", "채널 {n}로"),
    "weight_to": (
        "weight to output channel {n}",
        "到输出通道 {n} 的权重",
        "출력 채널 {n}로 가는 가중치",
    ),
    "slice_sums": (
        "sums of x · w, a slice each",
        "每个切片的 x · w 之和",
        "단면마다 x · w의 합",
    ),
    "more": ("{n} more channels", "另外 {n} 个通道", "채널 {n}개 더"),
    "zeros": (
        "Dashed cells are the border: zeros.",
        "虚线单元是边界：零。",
        "점선 칸은 경계이며 0입니다.",
    ),
    "copies": (
        "Dashed cells are the border: copies, padding_mode={mode!r}.",
        "虚线单元是边界：副本，padding_mode={mode!r}。",
        "점선 칸은 경계이며 복사본입니다: padding_mode={mode!r}.",
    ),
    "unread": (
        "Struck through: no output reads these cells.",
        "划线的单元：没有输出读取它们。",
        "그어진 칸: 어떤 출력도 읽지 않습니다.",
    ),
    "groups": (
        "Empty weights do not exist: the groups keep the channels apart.",
        "空的权重并不存在：分组把这些通道隔开。",
        "빈 가중치는 없습니다: 그룹이 채널을 갈라놓습니다.",
    ),
    "past": (
        "Empty products: taps that the stride leads past every input.",
        "空的乘积：步幅使这些抽头碰不到任何输入。",
        "빈 곱: 스트라이드 때문에 어떤 입력과도 만나지 않는 탭입니다.",
    ),
    "part": (
        "A part is drawn: {parts}.",
        "只画出一部分：{parts}。",
        "일부만 그림: {parts}.",
    ),
    "part_channels": (
        "{shown} of {all} {name} channels",
        "{name}通道 {all} 个中的 {shown} 个",
        "{name} 채널 {all}개 중 {shown}개",
    ),
    "part_axis": (
        "{name} {axis} {first} to {last} of {all}",
        "{name}{axis} {all} 中的 {first} 到 {last}",
        "{name} {axis} {all} 중 {first}–{last}",
    ),
}
Say = Callable[..., str]


def speaker(language: str) -> Say:
    """A function that says a phrase of `PHRASES` with its numbers in a language.

    Raises ValueError if there is no such language.

    >>> speaker("zh")("channel", n=2)
    '通道 2'
    """
    if language not in LANGUAGES:
        raise ValueError(
            f"explain: pictures speak {', '.join(LANGUAGES)}, not {language!r}."
        )
    place = LANGUAGES.index(language)

    def say(phrase: str, **values: Any) -> str:
        return PHRASES[phrase][place].format(**values).replace("-", "−")

    return say
