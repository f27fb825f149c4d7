use std::sync::Arc; use std::path::Path;
use shared::scenario::Scenario; use shared::models; use shared::identity::DeviceId; use shared::random::*; use shared::rules::Updates;
use hil_tests::fleet_data::FleetData; use edge_client::attacks::{self, View};
fn main(){
 let a:Vec<String>=std::env::args().skip(1).collect();
 let mut set:Vec<String>=a.clone(); 
 let s=Arc::new(Scenario::load(Path::new("hil-tests/scenarios/mnist-trimmed-mean.toml"),&set).unwrap()); set.clear();
 let d=FleetData::load(&s,Path::new("datasets")).unwrap();
 let shards=d.shards(&s);
 let att=s.attackers();
 println!("attackers {:?}",att.iter().map(|d|d.0).collect::<Vec<_>>());
 for i in [0usize,15,99]{ let mut c=[0;10]; for l in shards[i].labels(){c[*l as usize]+=1;} println!("dev {i} {c:?}"); }
 let m=models::build(s.model,d.test.shape(),10).unwrap();
 let mut g=vec![0f32;m.layout().dimension()];
 let attack=attacks::build(&s);
 let rule=s.rule();
 for round in 1..=200u32 {
  let v:Vec<Vec<f32>>=shards.iter().enumerate().map(|(i,sh)|{
    let mut r=stream(s.seed,Purpose::Batches,Some(DeviceId(i as u32)),round);
    let b=sh.minibatch(32,&mut r); let (_,gr)=m.loss_and_gradient(&g,&b).unwrap();
    g.iter().zip(&gr).map(|(g,x)|g-0.096*x).collect()}).collect();
  let mut u=v.clone();
  if let Some(k)=&attack { 
   let ba:Vec<_>=att.iter().map(|d|(*d,&v[d.0 as usize][..])).collect();
   let be:Vec<_>=s.devices().filter(|d|!att.contains(d)).map(|d|(d,&v[d.0 as usize][..])).collect();
   let cr=k.craft(&View{seed:s.seed,round,global:&g,before_attack:&ba,benign:&be}).unwrap();
   for ((d,_),c) in ba.iter().zip(cr){u[d.0 as usize]=c;}
  }
  let rows:Vec<&[f32]>=u.iter().map(|x|&x[..]).collect();
  g=rule.aggregate(&Updates::new(&rows,None).unwrap()).unwrap();
  if round%50==0 { let e=shared::evaluation::evaluate(m.as_ref(),&g,d.test.batches(500)).unwrap(); println!("{round} {:.4}",e.error_rate); }
 }
}
