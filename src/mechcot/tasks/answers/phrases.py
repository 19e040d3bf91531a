"""How languages say which answer is given: words only, one row a language. The rules know no other word.

The words are folded when the rules are made (`fold.folded`), so accents may stand here as they are
written.
"""

from __future__ import annotations

from dataclasses import fields

from mechcot.tasks.answers.language import Language, language
from mechcot.tasks.answers.phrases_short import SHORT

LANGUAGES = (
    language(
        "en",
        answer="answer,ans,ans.,selected option,chosen option,option selected,option chosen,final choice,"
        "final response,final selection,correct response,best response",
        option="option,choice,answer choice,answer option,answer,letter,alternative,statement",
        good="correct,right,best,the answer,correct answer,best answer,right answer,most correct,"
        "final answer",
        best="most likely,most appropriate,most suitable,most accurate,most fitting,"
        "most plausible,most probable,most consistent,most effective,most important,most common,best,"
        "ideal,optimal,next step,correct,recommended,preferred,first-line,treatment of choice,"
        "drug of choice,least likely",
        bad="wrong,incorrect,false,worst,tempting,bad,mistaken,previous,distractor,second best,"
        "second-best,other,another,runner-up",
        verb="is,would be,should be,must be,will be,has to be,remains,appears to be,seems to be,"
        "would therefore be,is going to be,being,corresponds to",
        choose="i choose,i would choose,i'd choose,we choose,i select,we select,i would select,"
        "i'd select,i pick,we pick,i would pick,i'd pick,i'll go with,i will go with,i would go with,"
        "i'd go with,i go with,i am going with,i'm going with,we go with,going with,my choice,"
        "my pick,my selection,i will choose,i'll choose,i will select,i'll select,i answer,"
        "i would answer,i vote for,i'll pick,choosing,choose,select,i conclude,we conclude,"
        "this points to,pointing to,this corresponds to,which corresponds to,corresponding to,"
        "this matches,which matches,the closest is,leaves us with,leaving,leaves",
        so="therefore,thus,hence,so,consequently,accordingly,in conclusion,conclusion,"
        "in summary,to conclude,overall,finally,as a result,ergo,based on,given,considering,"
        "taken together",
        no="not,n't,never,no,cannot,neither,nor,doubt,wrong to,incorrect to,rather than,"
        "instead of,mistake to",
        but="but rather,but instead,but",
        reason="because,since,as,which,due to,given,based on,for,not,rather,over,instead,in this,"
        "here,it is,it must,if,unless",
        fill="clearly,therefore,thus,hence,then,indeed,most likely,very likely,most probably,"
        "probably,likely,definitely,certainly,simply,obviously,undoubtedly,still,either,both,"
        "actually,as follows,the,an,a,is,that",
        condition="if,unless,suppose,supposing,assume,assuming,in case,provided,were,had,should,"
        "in the event,only if,end with,ends with,finish with,respond with,reply with,conclude with,"
        "answer with,in the form,in the format,the format,format,write,i must end,i should end,"
        "i need to end,i have to end,as instructed,end by,finish by,your response,output,"
        "think step by step",
        case="for,in,with,without,when,before,after,during,under,among,at,on,if,unless,"
        "whenever,given that,as long as,while",
        otherwise="otherwise,else,in which case,in other cases,without,later,afterwards,if not",
        ours="this,these,the question,the case,the scenario,the above,our,his,her,"
        "its,all,any case,conclusion,summary,short,fact,addition,contrast,comparison,"
        "general,particular,other words,my,total,example,instance,sum,terms,order,light,"
        "view,completeness,the options,option,the choices,the given,the end,which,"
        "reference,me,us,the following,the context,context,both",
        unsure="unlikely that,improbable,implausible,doubtful,false that,untrue,disagree,i thought,"
        "we thought,i believed,i assumed,i had thought,i was thinking,whether,wonder if,decide if,may be,"
        "might,could,can be,possibly,perhaps,maybe,"
        "some say,some would,some may,some people,students,argue,argued,tempting,tempted,"
        "at first glance,initially,it seemed,would have been,think that,example,suggested that,"
        "claims,claimed,says,said,friend,colleague,would suggest,if",
        back="wait,actually,no,on second thought,correction,scratch that,let me re,let me double,"
        "let me check,i made a mistake,i made an error,i was wrong,i was mistaken,hmm,sorry,"
        "apologies,oops,upon reflection,on reflection,reconsider,reconsidering,i take that back,"
        "is not correct,is wrong,is incorrect,revised,changing my,change my,i correct,"
        "corrected answer",
        both="and,or,and also,and/or,plus,as well as,along with,&,versus,vs",
        ask="question,problem,q,exercise,next question,case,user,human,assistant,system,"
        "instruction,student,passage,example",
        numbers="one,two,three,four,five,six,seven,eight,nine,ten,once,twice,single,double",
    ),
    language(
        "de",
        answer="antwort,lösung",
        option="option,antwort,antwortmöglichkeit,möglichkeit,buchstabe",
        good="richtig,richtige,korrekt,korrekte,die richtige antwort,die richtige lösung,"
        "die korrekte antwort,die beste antwort,die antwort,zutreffend",
        best="am wahrscheinlichsten,wahrscheinlichste,beste,geeignetste,nächste schritt,mittel der wahl",
        bad="falsche,falsch,inkorrekte,schlechteste,verlockende",
        verb="ist,lautet,wäre,ist daher,ist also,muss sein,sein",
        choose="ich wähle,ich entscheide mich für,ich würde wählen,wir wählen,meine wahl,"
        "richtig ist,korrekt ist,ich nehme",
        so="daher,deshalb,also,somit,folglich,demnach,zusammenfassend,deswegen,fazit,insgesamt",
        no="nicht,kein,keine,nie,weder,noch,statt",
        but="sondern",
        reason="weil,da,denn,nicht,und nicht,aufgrund,wegen",
        fill="daher,also,wohl,wahrscheinlich,sicher,der,die,das",
        condition="wenn,falls,sofern,angenommen,schreibe,ende mit,beende,im format,sollte",
        case="bei,für,in,im,mit,ohne,vor,nach,wenn,falls,während",
        otherwise="sonst,andernfalls,ansonsten",
        ours="dieser,diese,diesem,diesen,dieses,der frage,dem patienten,fall,zusammenfassung",
        unsure="könnte,vielleicht,möglicherweise,ob,manche,auf den ersten blick,beispiel",
        back="moment,doch,nein,korrektur,halt,warte,ich habe mich geirrt,stimmt nicht,vielmehr,jedoch",
        both="und,oder,sowie,beziehungsweise,bzw",
        ask="frage,aufgabe,fall",
        numbers="eins,eine,ein,zwei,drei,vier,fünf,sechs,sieben,acht,neun,zehn",
    ),
    language(
        "fr",
        answer="réponse,solution",
        option="option,choix,réponse,proposition,lettre",
        good="correcte,correct,juste,exacte,la bonne réponse,la réponse correcte,"
        "la meilleure réponse,la réponse,bonne",
        best="le plus probable,la plus probable,le plus approprié,la plus appropriée,meilleur,meilleure",
        bad="mauvaise,fausse,incorrecte,pire,tentante",
        verb="est,serait,est donc,doit être,c'est,est bien",
        choose="je choisis,je sélectionne,nous choisissons,mon choix,j'opte pour,je retiens",
        so="donc,ainsi,par conséquent,en conclusion,conclusion,alors,en résumé",
        no="pas,n'est,jamais,ni,aucun,aucune,plutôt que",
        but="mais plutôt,mais",
        reason="car,parce que,puisque,en raison,et non",
        fill="la,le,les,donc,bien,un,une,probablement",
        condition="si,supposons,à condition,terminez,écrivez,au format,sous la forme",
        case="chez,pour,en,avec,sans,avant,après,si,quand,dans",
        otherwise="sinon,autrement",
        ours="ce,cet,cette,ces,conclusion,résumé,fait,la question,le patient",
        unsure="pourrait,peut-être,peut être,certains,à première vue,exemple",
        back="attendez,non,en fait,correction,pardon,erreur,cependant,je me suis trompé",
        both="et,ou,ainsi que",
        ask="question,problème,exercice,cas",
        numbers="un,une,deux,trois,quatre,cinq,sept,huit,neuf,dix",
    ),
    language(
        "es",
        answer="respuesta,solución",
        option="opción,alternativa,respuesta,letra,inciso",
        good="correcta,correcto,la respuesta correcta,la mejor respuesta,la respuesta,la opción correcta",
        best="más probable,más apropiado,más adecuado,más adecuada,mejor",
        bad="falsa,errónea,peor,tentadora,equivocada",
        verb="es,sería,debe ser,es entonces,es por lo tanto,es por tanto,seria",
        choose="elijo,escojo,selecciono,elegimos,mi elección,me quedo con,opto por",
        so="por lo tanto,por tanto,entonces,así,en conclusión,conclusión,por consiguiente,en resumen",
        no="no,nunca,tampoco,ni,ningún,ninguna,en lugar de",
        but="sino",
        reason="porque,pues,ya que,dado que,debido",
        fill="el,la,los,las,lo,entonces,un,una,probablemente",
        condition="si,supongamos,en caso,termina,termine,escriba,en el formato,con el formato",
        case="para,en,con,sin,antes de,después de,si,cuando,durante",
        otherwise="si no,de lo contrario,en otro caso",
        ours="este,esta,estos,estas,conclusión,resumen,el caso,la pregunta,el paciente",
        unsure="podría,quizás,quizá,tal vez,algunos,a primera vista,ejemplo",
        back="espera,en realidad,no,corrección,perdón,error,sin embargo,me equivoqué",
        both="y,o,e,u,así como",
        ask="pregunta,problema,ejercicio,caso",
        numbers="uno,una,dos,tres,cuatro,cinco,seis,siete,ocho,nueve,diez",
    ),
    language(
        "pt",
        answer="resposta,solução,gabarito",
        option="opção,alternativa,resposta,letra",
        good="correta,correto,certa,a resposta correta,a melhor resposta,a resposta,a alternativa correta",
        best="mais provável,mais apropriado,mais adequado,mais adequada,melhor",
        bad="errada,falsa,incorreta,pior,tentadora",
        verb="é,seria,deve ser,é portanto,é a letra,é a alternativa",
        choose="escolho,seleciono,escolhemos,minha escolha,fico com,opto por",
        so="portanto,logo,então,assim,em conclusão,conclusão,por isso,em resumo",
        no="não,nunca,nem,nenhum,nenhuma,em vez de",
        but="mas sim,e sim,mas",
        reason="porque,pois,já que,dado que,devido",
        fill="portanto,um,uma,provavelmente",
        condition="se,suponha,caso,termine,escreva,no formato",
        case="para,em,com,sem,antes de,depois de,se,quando,durante,no,na,nos,nas",
        otherwise="caso contrário,senão",
        ours="este,esta,estes,estas,esse,essa,conclusão,resumo,o caso,a pergunta,o paciente,caso,questão",
        unsure="poderia,talvez,alguns,à primeira vista,exemplo",
        back="espere,na verdade,não,correção,desculpe,erro,porém,contudo,me enganei",
        both="e,ou,bem como",
        ask="pergunta,questão,problema,exercício,caso",
        numbers="um,uma,dois,duas,três,quatro,cinco,seis,sete,oito,nove,dez",
    ),
    language(
        "it",
        answer="risposta,soluzione",
        option="opzione,alternativa,risposta,lettera",
        good="corretta,corretto,giusta,esatta,la risposta corretta,la risposta giusta,"
        "la migliore risposta,la risposta",
        best="più probabile,più appropriato,più appropriata,più adatto,migliore",
        bad="sbagliata,falsa,errata,peggiore",
        verb="è,sarebbe,deve essere,è quindi,è dunque",
        choose="scelgo,seleziono,scegliamo,la mia scelta,opto per",
        so="quindi,dunque,pertanto,perciò,in conclusione,conclusione,di conseguenza",
        no="non,mai,nessuna,nessun,né,invece di",
        but="bensì,ma",
        reason="perché,poiché,in quanto,dato che,e non",
        fill="il,la,lo,quindi,dunque,un,una,probabilmente",
        condition="se,supponiamo,nel caso,termina,scrivi,nel formato",
        case="per,in,con,senza,prima di,dopo,se,quando,durante,nei,negli,nelle,nel",
        otherwise="altrimenti,in caso contrario",
        ours="questo,questa,questi,queste,conclusione,sintesi,il caso,la domanda,il paziente",
        unsure="potrebbe,forse,alcuni,a prima vista,esempio",
        back="aspetta,in realtà,no,correzione,scusa,errore,tuttavia,mi sono sbagliato",
        both="e,o,ed,oppure,nonché",
        ask="domanda,problema,esercizio,caso",
        numbers="uno,una,due,tre,quattro,cinque,sei,sette,otto,nove,dieci",
    ),
    language(
        "ru",
        answer="ответ,решение",
        option="вариант,ответ,буква,опция,пункт",
        good="верный,правильный,верен,правилен,верно,правильно,правильный ответ,верный ответ,лучший ответ",
        best="наиболее вероятный,наиболее вероятно,наиболее подходящий,лучший,наиболее вероятным",
        bad="неверный,неправильный,ошибочный,худший",
        verb="это,является,будет,должен быть",
        choose="я выбираю,выбираю,выбираем,мой выбор,я выберу,мой ответ",
        so="следовательно,поэтому,таким образом,значит,итак,вывод,в итоге",
        no="не,нет,никогда,ни,неверно,вместо",
        but="а",
        reason="потому,так как,поскольку,а не",
        fill="это,вариант,скорее всего",
        condition="если,допустим,предположим,напишите,в формате,закончите",
        case="для,у,при,без,до,после,если,когда,в",
        otherwise="иначе,в противном случае",
        ours="этого,этой,этом,данного,данной,данном,целом,итоге,заключение",
        unsure="может быть,возможно,некоторые,на первый взгляд,пример,мог бы",
        back="подождите,нет,на самом деле,исправление,ошибка,однако,точнее",
        both="и,или,а также",
        ask="вопрос,задача,задание,случай",
        numbers="один,одна,два,две,три,четыре,пять,шесть,семь,восемь,девять,десять",
    ),
    language(
        "ar",
        answer="الإجابة,الجواب,إجابة,جواب",
        option="الخيار,خيار,الإجابة,الحرف,الاختيار",
        good="صحيح,صحيحة,الصحيح,الصحيحة,هو الصحيح,هي الصحيحة,هو الإجابة الصحيحة,الأنسب",
        best="الأكثر احتمالا,الأرجح,الأنسب,الأفضل",
        bad="خاطئة,الخاطئة,خطأ,الخطأ",
        verb="هي,هو,تكون,يكون,ستكون",
        choose="أختار,اخترت,نختار,اختياري",
        so="لذلك,إذن,وبالتالي,بالتالي,لذا,في الختام,الخلاصة",
        no="ليست,ليس,لا,لم,لن,غير,بدلا من",
        but="بل",
        reason="لأن,بسبب,وليس",
        fill="هي,هو,إذن",
        condition="إذا,إن كان,لو,اكتب,بصيغة",
        case="في,عند,مع,بدون,بعد,قبل,للأطفال,للكبار,بالنسبة",
        otherwise="وإلا",
        ours="هذا,هذه,الختام,السؤال",
        unsure="ربما,قد,بعض,مثال",
        back="انتظر,لا,في الواقع,تصحيح,عذرا,خطأ,لكن",
        both="و,أو,وكذلك",
        ask="سؤال,السؤال,مسألة,حالة",
        numbers="واحد,واحدة,اثنان,اثنين,ثلاثة,أربعة,خمسة,ستة,سبعة,ثمانية,تسعة,عشرة",
    ),
    language(
        "hi",
        verb_last=True,
        answer="उत्तर,जवाब,सही विकल्प",
        option="विकल्प,उत्तर,अक्षर",
        good="सही है,सही उत्तर है,सही,सर्वोत्तम है,उत्तर है",
        best="सबसे संभावित,सबसे उपयुक्त,सर्वोत्तम",
        bad="गलत,ग़लत",
        verb="है,होगा,होना चाहिए",
        choose="मैं चुनता हूँ,मैं चुनती हूँ,मेरा चुनाव,मेरा उत्तर",
        so="इसलिए,अतः,इस प्रकार,निष्कर्ष,अत:",
        no="नहीं,न,मत,बजाय",
        but="बल्कि",
        reason="क्योंकि,है,होगा",
        fill="है",
        condition="यदि,अगर,लिखें,प्रारूप",
        case="के लिए,में",
        otherwise="अन्यथा,वरना",
        ours="इस,प्रश्न",
        unsure="शायद,हो सकता,कुछ लोग,उदाहरण,सकता है",
        back="रुकिए,नहीं,वास्तव में,सुधार,माफ,गलती,लेकिन",
        both="और,या,तथा,एवं",
        ask="प्रश्न,सवाल",
        numbers="एक,दो,तीन,चार,पाँच,पांच,छह,सात,आठ,नौ,दस",
    ),
    language(
        "zh",
        spaced=False,
        answer="答案,正确选项,正确答案,回答,最佳选项,最终选择,正確答案,正確選項",
        option="选项,選項,答案,选择,項",
        good="正确,是正确的,是正确答案,是对的,正確,是最佳答案,是最佳选项,是答案,最合适",
        best="最可能,最合适,最佳,最恰当,最适合",
        bad="错误,不正确,错,干扰",
        verb="是,为,應為,应为,应该是,应是,就是,选,選,選擇,选择,為",
        choose="我选择,我选,本题选,此题选,选,选择,应选,故选,所以选,因此选,我認為是,因此选择,我選擇,故選",
        so="因此,所以,综上,综上所述,故,总之,由此,因而",
        no="不,不是,并非,没有,未,而非",
        but="而是",
        reason="因为,因為,由于,项,選項,选项",
        fill="应该,就",
        condition="如果,假如,若,假设,请以,请写,格式",
        case="对于,對於,如果,若,时,時",
        otherwise="否则,否則",
        ours="本题,此题,这,此",
        unsure="也许,可能是,或许,有人,例如",
        back="等等,不对,其实,更正,抱歉,错了,但是,重新",
        both="和,或,与,及,以及,或者,與,跟",
        ask="问题,题目,问,第,下一题,問題,题",
        numbers="一,二,两,兩,三,四,五,六,七,八,九,十",
    ),
    language(
        "ja",
        spaced=False,
        answer="答え,正解,解答,回答,正答",
        option="選択肢,答え,記号",
        good="が正解,が正しい,正しい,が最も適切,が答え,正解",
        best="最も可能性が高い,最も適切,最も考えられる,最適",
        bad="誤り,間違い,不正解,誤った",
        verb="は,が,として",
        choose="選びます,私は,選択する,選択します",
        so="したがって,よって,ゆえに,従って,だから,以上より,結論",
        no="ない,ではなく,ではない,いいえ,ません",
        but="ではなく,じゃなくて",
        reason="です,だ,である,となり,と考え,なぜ,を選",
        fill="おそらく",
        condition="もし,たとえば,例えば,形式,なら",
        case="なら,では,には,の場合",
        otherwise="そうでなければ,それ以外",
        ours="この,本",
        unsure="かもしれ,場合,と書い",
        back="待って,いや,実は,訂正,すみません,間違え,しかし",
        both="と,または,や,及び,および,か,もしくは",
        ask="問題,質問,問,次の問題",
        numbers="一,二,三,四,五,六,七,八,九,十,ひとつ,ふたつ,みっつ",
    ),
    language(
        "ko",
        spaced=False,
        answer="정답,답,해답,답변,최종 답",
        option="선택지,보기,답,번",
        good="가 정답,이 정답,이 맞,가 맞,정답,가 옳,이 옳,가 가장 적절,이 가장 적절,가 올바른,이 올바른",
        best="가장 가능성,가장 적절,가장 알맞,최선",
        bad="오답,틀린,잘못된",
        verb="은,는,이,가",
        choose="선택합니다,저는,나는,고르겠습니다,선택하겠습니다",
        so="따라서,그러므로,그래서,결론,즉",
        no="아니,않,못,아닌,대신",
        but="가 아니라,이 아니라,아니라",
        reason="입니다,이다,이며,입니,이에요,예요,번,왜냐",
        fill="아마도",
        condition="만약,만일,형식,예를",
        case="이면,라면,경우,에게는,에서는",
        otherwise="그렇지 않으면,아니면",
        ours="이 ,본",
        unsure="수도,아마,라면,경우,쓰세요",
        back="잠깐,아니,사실,정정,죄송,실수,하지만,그러나",
        both="와,과,또는,및,혹은,나,이나",
        ask="문제,질문,다음 문제",
        numbers="하나,둘,셋,넷,다섯,여섯,일곱,여덟,아홉,열",
    ),
    *SHORT,
)
"""Every language whose answers are read."""


def phrases(kind: str, *, spaced: bool | None = None) -> tuple[str, ...]:
    """All words of a kind, of every language or of those with or without blanks, long ones first."""
    assert kind in {field.name for field in fields(Language)}
    rows = [row for row in LANGUAGES if spaced is None or row.spaced is spaced]
    found = {phrase for row in rows for phrase in getattr(row, kind)}
    return tuple(sorted(found, key=lambda phrase: (-len(phrase), phrase)))
