"""Whether a text asks for something, ends where it should, and asks for more than itself. English and Chinese.

Patterns of Java's regular expressions. What they do not know: whether what is asked makes sense.
"""

from pyspark.sql import Column
from pyspark.sql import functions as F

from boostqa.matching_text import cjk_characters
from boostqa.stages.wording import is_multiple_choice

_VERBS = (
    "account|add|analy[sz]e|answer|apply|approximate|argue|arrange|assign|calculate|characteri[sz]e|"
    "choose|classify|combine|comment|compare|complete|compute|conclude|construct|contrast|convert|"
    "convince|create|critique|decide|deduce|define|demonstrate|derive|describe|design|determine|develop|"
    "devise|differentiate|discuss|disprove|distinguish|divide|draft|draw|elaborate|eliminate|enter|"
    "enumerate|establish|estimate|evaluate|examine|expand|explain|explore|express|extend|factori[sz]e|"
    "fill|find|formulate|generali[sz]e|generate|give|identify|illustrate|implement|indicate|infer|"
    "integrate|interpret|investigate|justify|locate|maximi[sz]e|minimi[sz]e|modify|multiply|obtain|outline|"
    "parse|perform|predict|prepare|present|propose|prove|provide|rationali[sz]e|rearrange|reduce|repeat|"
    "replace|represent|restate|return|rewrite|select|show|simplify|solve|sort|specify|speculate|subtract|"
    "suggest|summari[sz]e|translate|transform|verify|write"
)
# Nouns as well: "State space search", "Order of reactions" ask for nothing.
_NOUNS_TOO = (
    "balance|check|correct|count|cite|cube|detail|factor|graph|label|list|make|mark|match|name|order|"
    "plot|print|rank|round|sketch|square|state|test|trace|use"
)
_DETERMINER = (
    r"(?:off|in|that|the|an?|all|any|each|every|both|one|two|three|four|five|some|at|its|their|his|her|your|this|these"
    r"|those|whether|how|what|which|why|if|\d+|\$|\\)"
)
# Where a clause begins: the text, a line, a sentence, a part "(a)", or "..., and find".
_CLAUSE = (
    r"(?:\A|[\n.!?:;,)\]}$•”\"*]|\b(?:and|then|please|also|now|next|or|but|first|finally|you|must|can|should)\b)"
    r"[\s*_>#-]*(?:\(?[a-h\divx]{1,3}[.)]\s*)?(?:\w+ly )?"
)
_ASKING = r"(?:what|which|who|whom|whose|when|where|why|how)\b[^.\n]{3}"
_TASK = (
    rf"(?i)[?？]|_{{2,}}|[(（][\s_　]*[)）]|…+|\.\.\.\s*\z"
    rf"|{_CLAUSE}(?:{_VERBS})\b(?![-’']|\s*[:：]?\s*\z)|{_CLAUSE}(?:{_NOUNS_TOO}),?\s+{_DETERMINER}"
    rf"|(?:\A|[\n.;:)]|\b(?:then|and|so))\s*(?:\(?[a-h\divx]{{1,3}}[.)]\s*)?"
    rf"(?:(?:at|by|in|for|from|of|on|with|to) )?{_ASKING}"
    rf"|\b(?:use|using|follow)\b[^.?!\n]{{2,100}}\bto (?:{_VERBS})\b"
    rf"|,\s*(?:(?:at|by|in) what|what|how|why|who)\b[^.\n]{{3}}"
)
_TASK_ZH = (
    r"[?？]|_{2,}|[(（【\[［][\s_　]*[)）】\]］]|\\q?quad|…\s*\z|什么|为何|怎样|怎么|如何|哪|多少|谁|是否|有无|能否|可否"
    "|何[时处种者]|几(?:何|个|种|次|位|名|人|天|倍|条|项|类)|[吗呢]|(?<![要需请追寻谋渴])求(?!和公式|导公?[法式]|根公式|职|助|学|救)"
    "|计算(?!机|器|法)|证明(?!书|文件)|解释|说明|[写列给指找]出|判断|推[导断测]|分析|比较|[简论阐描叙]述|设计|实现|[编改][写程]"
    "|写[成为]|观察|输出|画出|绘制|[试请]|化简|解方程|解不等式|求解|估[算计]|猜测|配平|命名|讨论|举例|填空|选[出择]|完成|确定|翻译"
    "|回答|概括|总结|归纳|验证|导出|定义|表示|转换|补全|排序"
)
# A stem that options complete: it ends open, or is long enough to be more than a heading.
_STEM = (
    r"(?i)(?:[:：,，…—=-]|\b(?:is|are|was|were|be|been|of|to|by|for|in|on|at|as|with|from|that|than|the|an?|and|or"
    r"|because|called|means?|includes?|has|have|had|can|may|must|will|when|if|it|its|not)|[是为有在指于含括属系即第][。.]?)\s*\z"
)
_CLOSED = r"[.。!！]\s*[)）”\"’']*\s*\z"
_STEM_WORDS, _STEM_CHARACTERS = 5, 6
# Options that judge the stem make a question of a statement.
_JUDGEMENT = r"(?i)^\s*(?:true|false|yes|no|only|both|neither|correct|incorrect)\b|^\s*(?:正确|错误|对|错|是|否)\s*$"

# Words that no sentence ends with, in lower case: names and symbols ("point A", "vitamin A") are no articles.
_OPEN_WORD = (
    "an?|the|of|to|and|or|nor|with|without|that|for|from|into|onto|because|although|whereas|while|when|if|unless|whether"
    "|which|whose|its|their|our|your|my|his|between|among|than|are|was|were|been|has|have|had|will|would|should|could|"
    "must|may|might|can|every|each|such|these|those|as|at|by|but|so|then|very|therefore|thus|hence"
)
_OPEN_WORD_ZH = "[的和与或及且但在把被将从向对于]|因为|如果|所以|因此|并且|而且|以及|由于|当|则"
_OPEN_MARK = r"[,，、(（\[【{《“&\\^]|\s[+*×÷/<>≤≥=-]"
# A last line without a full stop that is no part of a list, nor what follows a colon.
_NO_STOP = r"(?:\A|\n)(?!\s*(?:[(（]?[a-z\divx]{1,3}[.)）]|[-*•|#]))(?![^\n]*[:：][^\n]{1,80}\z)[^\n]*[\p{L}\p{N}]\s*\z"
_NO_STOP_WORDS, _NO_STOP_CHARACTERS = 6, 12  # "Find x" may do without a full stop
_CUT_OPEN = rf"(?:(?:^|[\s(])(?:{_OPEN_WORD})|{_OPEN_WORD_ZH}|{_OPEN_MARK})\s*\z"
_CUT_STEM = r"(?:[、(（\[【{《“&\\^]|\s[+*×÷<>≤≥-])\s*\z"  # what options do not complete
_OPEN_STEP = (
    "an|the|of|and|or|nor|because|although|if|whether|its|their|our|your|than|are|was|were|has|have|would|must|every|"
    "each|such|these|those|therefore|thus|hence"
)
_CUT_SOLUTION = rf"(?:(?:^|[\s(])(?:{_OPEN_STEP})|[和与或及且但把被]|因为|如果|所以|因此|[:：]|{_OPEN_MARK})\s*\z"


def _unclosed(text: Column) -> Column:
    """Whether more brackets open than close, or a quotation or a fence of code stays open."""

    def count(characters: str) -> Column:
        return F.length(F.regexp_replace(text, f"[^{characters}]+", ""))

    fences = F.size(F.split(text, "(?m)^\\s*```")) - 1
    return (count(r"(（\[【") > count(r")）\]】")) | (count("“”「」") % 2 == 1) | (fences % 2 == 1)


def cut_off(question: Column, solution: Column) -> Column:
    """The end of a question or solution that stops in the middle; empty where neither does."""
    last_line = F.substring_index(F.trim(question), "\n", -1)
    long = (F.size(F.split(last_line, r"\s+")) >= _NO_STOP_WORDS) | (cjk_characters(last_line) >= _NO_STOP_CHARACTERS)
    open_end = question.rlike(_CUT_OPEN) | (long & question.rlike(_NO_STOP))
    question_cut = F.when(is_multiple_choice(), question.rlike(_CUT_STEM)).otherwise(open_end) | _unclosed(question)
    found = F.when(question_cut, question).when(solution.rlike(_CUT_SOLUTION) | _unclosed(solution), solution)
    return F.coalesce(F.right(F.trim(found), F.lit(60)), F.lit(""))


# What a question about nothing is made of: words of function, and words for questions and answers.
_EMPTY_WORDS = (
    r"(?i)\b(?:what|which|who|how|why|when|where|does|do|did|is|are|was|be|the|an?|of|to|in|on|for|with|and|or|that"
    r"|this|these|those|it|its|you|your|me|we|can|could|would|should|please|give|find|write|choose|select|explain|describe"
    r"|state|provide|tell|show|answers?|questions?|solutions?|problems?|options?|choices?|statements?|texts?|sentences?"
    r"|works?|means?|correct|right|true|false|best|following|below|above|final|exam|four|one|new|here|about)\b"
    "|请|问|什么|哪个?|怎样|怎么|如何|为什么|是|的|吗|呢|这个?|那个?|下列|以下|正确|错误|答案|问题|题目?|解答|选项|说法|回答|解释"
    "|说明|选择|写出|最终|一项"
)


def says_nothing(question: Column) -> Column:
    """Whether a question has no word, number or formula of its own: "How does this answer work?"."""
    left = F.regexp_replace(question, _EMPTY_WORDS, " ")
    return ~left.rlike(r"\p{L}{2}|\p{N}|\p{IsHan}|[\\$=]")


def _asks(question: Column, chinese: Column) -> Column:
    return F.when(chinese, question.rlike(_TASK_ZH)).otherwise(question.rlike(_TASK))


def has_task(question: Column, choices: Column, lang: Column) -> Column:
    """Whether a question asks: a question mark, a blank, an interrogative or an imperative at the beginning of a
    clause; with options also a stem that they complete, or a statement that they judge."""
    chinese = lang == "zh"
    words = F.size(F.split(F.trim(question), r"\s+"))
    long = F.when(chinese, cjk_characters(question) >= _STEM_CHARACTERS).otherwise(words >= _STEM_WORDS)
    stem = question.rlike(_STEM) | (long & ~question.rlike(_CLOSED))
    judged = F.exists(F.coalesce(choices, F.array()), lambda c: c.rlike(_JUDGEMENT))
    return _asks(question, chinese) | (is_multiple_choice() & (stem | judged))
