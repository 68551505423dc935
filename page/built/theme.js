(()=>{(()=>{try{let t=localStorage.getItem("pinflow.theme");(t==="light"||t==="dark")&&(document.documentElement.dataset.theme=t)}catch{}})();})();
