"""What a text leans on that is not in the item: a passage, a figure, a chapter, an author, "the above".

Patterns of Java's regular expressions. What they do not know: a pronoun or a name that nothing introduces.
"""

from pyspark.sql import Column
from pyspark.sql import functions as F

_TEXT = "(?:passage|text|excerpt|article|paragraph)"
_FIGURE = "(?:figure|diagram|graph|picture|image|chart|table|illustration)"
_CITED = r"(?:according to|based on|(?:described|stated|mentioned|discussed|explained|given) in|refer(?:ring)? to)"
_WHICH = r"(?:the|this) (?:(?:above|given|following|provided|preceding) )?"
_WHICH_ZH = "(?:上|前|本|下|原|以上|上述|下面|下列|以下|该|这)?(?:一?[段篇]|面的)?"
# In any field: a solution that says "as the source text states" is as bad as a question that does.
_ANYWHERE = "|".join(
    (
        rf"(?i:\b{_CITED} {_WHICH}(?:{_TEXT}|section|chapter|document|reading)\b)",
        r"(?i:\b(?:in|from|by) (?:the|this) (?:passage|excerpt)\b(?! of)|\bin the text\b(?= above|[,.?]))",
        rf"(?i:\b{_TEXT} (?:above|below)\b|\b(?:above|preceding|provided) {_TEXT}\b)",
        r"(?i:\bthe (?:author|passage|text) (?:states|mentions|describes|says|suggests|explains|argues|implies)\b)",
        r"(?i:\b(?:the|this|your|of) source (?:text|material|passage)s?\b)",
        r"(?i:\b(?:the|this) (?:given|provided) (?:text|passage)\b)",
        rf"(?i:\b(?:shown|depicted|illustrated|seen|given|described) in the (?:\w+ )?{_FIGURE}\b)",
        rf"(?i:\b{_FIGURE} (?:above|below)\b|\b(?:above|accompanying) {_FIGURE}\b|\bfollowing (?:figure|diagram)\b)",
        r"\b(?:Figure|Fig\.) ?\d|\b(?:Table|Example|Equation|Section|Chapter) \d+\.\d",
        f"(?:根据|依据|阅读|结合|参考){_WHICH_ZH}(?:短文|文章|文本|段落|材料|课文|文段|图表|素材|原文)",
        "根据[上前本原]文|素材(?:中|所|里|提)",
        r"如[上下左右附]?[图表](?:所示|\s*\d|[，,：:甲乙中])|[上下左右附]图[中所是为，,]|[上下]表[中所]",
        "文中(?:提到|所述|指出|认为|作者|的)|上述(?:文章|文本|段落|短文)|[本上]文(?:中|所|介绍|提到)|本[章节](?:中|所|介绍)",
    )
)
_WORK = "(?:section|chapter|lesson|unit|module|textbook|book|lecture|course|reading|document|article)"
_LISTING = f"(?:code|program|function|snippet|pseudocode|script|data|{_FIGURE}|{_TEXT})"
_LISTING_ZH = "(?:代码|程序|伪代码|数据|图像|表格|短文|材料|段落|文章)"
# In a question only: a solution may say "as shown above" of its own first half, and "in this example" of its question.
_IN_QUESTION = "|".join(
    (
        rf"(?i:\bin (?:this {_WORK}|the (?:previous|preceding|last|next) (?:{_WORK}|example|exercise|problem|question))\b)",
        rf"(?i:\b(?:earlier|later|discussed|introduced|covered|learned|studied) in (?:the|this) {_WORK}\b)",
        r"(?i:\b(?:previous|preceding) (?:example|exercise|problem|question|passage|section|chapter)\b)",
        r"(?i:\b(?:as|is|are) shown(?: here| at (?:the )?(?:left|right)| on the (?:left|right))?\s*[.,?;)])",
        r"(?i:\bshown (?:below|above)\b(?!\s*[:\n]|[^.?!]*[:\n]))",
        r"(?i:\b(?:the|this) author(?:'s|’s)? (?!of\b))",
        r"(?i:\b(?:item|source|reference|work|table)s? (?:cited|provided)\b|\b(?:from|in|of) parts? \([a-h]\))",
        r"(?i:\A[^.?!\n]{0,200}\b(?:the above\b|above-mentioned|(?:information|data|statement|equation)s? above\b))",
        rf"(?i:(?<!of )\bthe following {_LISTING}\b[^:\n.?!`$\\\d]*[.?!]?\s*\z)",
        r"\A[^。？！?!\n]{0,100}(?:上述|上面的|以上(?:资料|信息|内容|材料|数据|反应|叙述|说法|代码|程序|例题|条件))",
        rf"(?:下面|下列|以下|如下)(?:的|一段)?{_LISTING_ZH}(?![：:])[^：:\n`$\\\d]*\z",
        "作者(?:认为|指出|提到|的观点)|(?:前面|上一)(?:的)?(?:例题|题目|问题|章|节)|[本这]一?(?:课|单元)(?:中|所|介绍)",
    )
)


def reference(question: Column, others: Column) -> Column:
    """The first reference to something that is not there, in a question or in `others` (array<string>: options, answer,
    solution); empty where there is none."""
    in_question = F.regexp_extract(question, f"{_ANYWHERE}|{_IN_QUESTION}", 0)
    in_others = F.filter(F.transform(others, lambda t: F.regexp_extract(t, _ANYWHERE, 0)), lambda found: found != "")
    return F.when(in_question != "", in_question).otherwise(F.concat_ws("", F.get(in_others, F.lit(0))))
